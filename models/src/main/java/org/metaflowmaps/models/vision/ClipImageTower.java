package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.nio.file.Path;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.file.TensorFile;

/** The image tower of CLIP alone, with its projection: for the {@link AestheticHead}. */
public final class ClipImageTower implements Network {
    private final ParameterArena arena;
    private final CpuUse use;
    private final ClipSettings settings;
    private final DType type;
    private final Weights weights;

    private ClipImageTower(ParameterArena arena, ClipSettings settings, DType type) {
        this.arena = arena;
        this.use = new CpuUse(arena);
        this.settings = settings;
        this.type = type;
        this.weights = new Weights(arena, "").in("image");
    }

    /**
     * Loads the image tower of any CLIP file, or of a file with an aesthetic predictor.
     *
     * @param settings those of the whole network; the text tower's have no effect
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    public static ClipImageTower load(Path file, ClipSettings settings, DType type, Device device) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            return read(open, settings, type, device);
        } catch (IOException e) {
            throw ConfigFile.named(file, e);
        }
    }

    /**
     * Reads the image tower from an open file.
     *
     * @param file stays the caller's
     * @param settings those of the whole network; the text tower's have no effect
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file holds no such network
     */
    public static ClipImageTower read(TensorFile file, ClipSettings settings, DType type, Device device)
            throws IOException {
        WeightFile found = WeightFile.find(file, "image tower of CLIP", ClipLayouts.ALL);
        Fitting fitting = new Fitting("CLIP's image tower", found).alone();
        ClipTowers.image(fitting, settings.imageHeads());
        return new ClipImageTower(fitting.read(type, device), settings, type);
    }

    /** The side of the square images that the tower takes. */
    public long imageSide() {
        return ClipTowers.side(weights);
    }

    /**
     * Returns the features of images.
     *
     * @param pixels (batch, 3, side, side), normalised by CLIP's mean and deviation
     * @return (batch, features), of any length
     * @throws IllegalArgumentException for another shape
     */
    public Tensor features(Tensor pixels) {
        Tensor given = ClipTowers.pixels("features", weights, pixels, type);
        return ImageLayers.result(ClipTowers.image(weights, given, settings));
    }

    /** The weights, frozen. */
    @Override
    public ParameterArena parameters() {
        return arena;
    }

    @Override
    public void close() {
        arena.close();
        use.close();
    }
}
