package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.nio.file.Path;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * CLIP with vision transformers (Radford et al. 2021, arXiv 2103.00020): features of images and texts, whose cosine
 * measures how well they match. It is also the network of HPS v2 and PickScore.
 *
 * <p>Weights are frozen; gradients flow to images.
 */
public final class Clip implements Network {
    private final ParameterArena arena;
    private final CpuUse use;
    private final ClipSettings settings;
    private final DType type;
    private final Weights image;
    private final Weights text;

    private Clip(ParameterArena arena, ClipSettings settings, DType type) {
        this.arena = arena;
        this.use = new CpuUse(arena);
        this.settings = settings;
        this.type = type;
        Weights weights = new Weights(arena, "");
        this.image = weights.in("image");
        this.text = weights.in("text");
    }

    /**
     * Loads a network in float32 with the settings of the {@code config.json} in its folder.
     *
     * @param file a file of Hugging Face, open_clip, HPS v2 or PickScore; or a folder of shards
     * @return owned by the caller
     * @throws IOException if the file or its {@code config.json} is missing or damaged, or holds no such network
     */
    public static Clip load(Path file, Device device) throws IOException {
        ClipSettings settings = ConfigFile.beside(file, ClipSettings::of)
                .orElseThrow(() -> new IOException(file
                        + ": there is no config.json beside it, and the weights do not show the activation and the"
                        + " heads: give ClipSettings"));
        return load(file, settings, DType.FLOAT32, device);
    }

    /**
     * Loads a network.
     *
     * @param file a file of Hugging Face, open_clip, HPS v2 or PickScore; or a folder of shards
     * @param settings what the tensors do not show
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    public static Clip load(Path file, ClipSettings settings, DType type, Device device) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            return read(open, settings, type, device);
        } catch (IOException e) {
            throw ConfigFile.named(file, e);
        }
    }

    /**
     * Reads a network from an open file.
     *
     * @param file stays the caller's
     * @param settings what the tensors do not show
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file holds no such network
     */
    public static Clip read(TensorFile file, ClipSettings settings, DType type, Device device) throws IOException {
        Fitting fitting = new Fitting("CLIP", WeightFile.find(file, "CLIP network", ClipLayouts.ALL));
        fitting.tensor("logit_scale");
        ClipTowers.text(fitting, ClipTowers.image(fitting, settings.imageHeads()), settings.textHeads());
        return new Clip(fitting.read(type, device), settings, type);
    }

    /** The settings. */
    public ClipSettings settings() {
        return settings;
    }

    /** The side of the square images that the image tower takes. */
    public long imageSide() {
        return ClipTowers.side(image);
    }

    /** The largest number of token ids of a text. */
    public long context() {
        return text.get("positions").size(0);
    }

    /** The number of token ids that the text tower knows, from 0. */
    public long vocabulary() {
        return text.get("tokens").size(0);
    }

    /**
     * Returns the features of images.
     *
     * @param pixels (batch, 3, side, side), normalised by CLIP's mean and deviation
     * @return (batch, features), of any length; see {@link #unit}
     * @throws IllegalArgumentException for another shape
     */
    public Tensor imageFeatures(Tensor pixels) {
        Tensor given = ClipTowers.pixels("imageFeatures", image, pixels, type);
        return ImageLayers.result(ClipTowers.image(image, given, settings));
    }

    /**
     * Returns the features of texts. Tokens after the end token have no effect, so any padding is allowed.
     *
     * @param ids (batch, length) int64, at most {@link #context} long, with start and end tokens
     * @return (batch, features), of any length; see {@link #unit}
     * @throws IllegalArgumentException for another shape or type
     */
    public Tensor textFeatures(Tensor ids) {
        return ImageLayers.result(ClipTowers.text(text, ImageLayers.ids("textFeatures", ids, context()), settings));
    }

    /** Returns features (batch, n) divided by their Euclidean norms. */
    public static Tensor unit(Tensor features) {
        return ImageLayers.unit(features);
    }

    /**
     * Returns the cosine of the features of each image and the text at the same place.
     *
     * @param imageFeatures (batch, features)
     * @param textFeatures (batch, features)
     * @return (batch)
     */
    public static Tensor cosine(Tensor imageFeatures, Tensor textFeatures) {
        return ImageLayers.block(
                imageFeatures,
                x -> ImageLayers.unit(x).mul(ImageLayers.unit(textFeatures)).sum(1));
    }

    /**
     * Returns the cosine of the features of each image and each text, times {@link #logitScale}.
     *
     * @param imageFeatures (images, features)
     * @param textFeatures (texts, features)
     * @return (images, texts)
     */
    public Tensor logits(Tensor imageFeatures, Tensor textFeatures) {
        return ImageLayers.block(
                imageFeatures,
                x -> Torch.linear(ImageLayers.unit(x), ImageLayers.unit(textFeatures))
                        .mul(logitScale()));
    }

    /** Returns the learned factor of logits, about 100 in published networks; a scalar on the device. */
    public Tensor logitScale() {
        return ImageLayers.result(arena.get("logit_scale")).exp();
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
