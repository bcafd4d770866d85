package org.metaflowmaps.models.vision;

import static com.google.common.base.Preconditions.checkArgument;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * LAION's aesthetic predictor, a linear head on image features of OpenAI's CLIP ViT-L/14 ({@link ClipImageTower}); scores
 * are about 1 to 10 (https://github.com/christophschuhmann/improved-aesthetic-predictor).
 */
public final class AestheticHead implements Network {
    private static final Layout LAYOUT = Layout.renamed(
            "LAION's aesthetic predictor, linear", List.of("layers.0.weight", "layers.7.weight"), name -> name);

    private final ParameterArena arena;
    private final DType type;
    private final Weights weights;
    private final long features;

    private AestheticHead(ParameterArena arena, DType type, long features) {
        this.arena = arena;
        this.type = type;
        this.weights = new Weights(arena, "");
        this.features = features;
    }

    /**
     * Loads the head.
     *
     * @param file {@code sac+logos+ava1-l14-linearMSE.pth}, or a file that also has the image tower
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    public static AestheticHead load(Path file, DType type, Device device) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            return read(open, type, device);
        } catch (IOException e) {
            throw ConfigFile.named(file, e);
        }
    }

    /**
     * Reads the head from an open file.
     *
     * @param file stays the caller's
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file holds no such network
     */
    public static AestheticHead read(TensorFile file, DType type, Device device) throws IOException {
        WeightFile found = WeightFile.find(file, "aesthetic predictor", List.of(LAYOUT));
        Fitting fitting = new Fitting("the aesthetic predictor", found);
        long features = LinearHead.add(fitting, "", Fitting.ANY);
        return new AestheticHead(fitting.read(type, device), type, features);
    }

    /**
     * Returns the score of image features.
     *
     * @param imageFeatures (batch, features), of any length; zeros stay zeros
     * @return (batch)
     * @throws IllegalArgumentException for another shape
     */
    public Tensor score(Tensor imageFeatures) {
        checkArgument(
                imageFeatures.dim() == 2 && imageFeatures.size(1) == features,
                "score: image features are %s, expected (batch, %s)",
                imageFeatures,
                features);
        return ImageLayers.block(
                imageFeatures,
                x -> ImageLayers.result(
                        LinearHead.forward(weights, ImageLayers.unit(x).to(type))));
    }

    /** The weights, frozen, under their published names. */
    @Override
    public ParameterArena parameters() {
        return arena;
    }

    @Override
    public void close() {
        arena.close();
    }
}
