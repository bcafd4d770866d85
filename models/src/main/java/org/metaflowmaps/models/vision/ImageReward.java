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
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * ImageReward, a model of people's preferences between images for a text (Xu et al. 2023, arXiv 2304.05977): BLIP's
 * vision transformer, a BERT whose layers also attend to the image's tokens, and a linear head.
 *
 * <p>Weights are frozen; gradients flow to images.
 */
public final class ImageReward implements Network {
    /** The mean and deviation of scores in the training data, which the published model subtracts and divides by. */
    private static final double MEAN = 0.16717362830052426;

    private static final double DEVIATION = 1.0333394966054072;
    private static final double IMAGE_EPS = 1e-6;
    private static final String IMAGE = "blip.visual_encoder";
    private static final String TEXT = "blip.text_encoder.embeddings";
    private static final Layout LAYOUT = Layout.renamed(
                    "ImageReward",
                    List.of(
                            IMAGE + ".patch_embed.proj.weight",
                            TEXT + ".word_embeddings.weight",
                            "mlp.layers.0.weight",
                            "mlp.layers.7.weight"),
                    name -> name)
            .ignoring(name -> name.endsWith(".position_ids")
                    || name.startsWith("blip.vision_proj.")
                    || name.startsWith("blip.text_proj."));

    /**
     * Attention heads, which the tensors do not show.
     *
     * @param image of the vision transformer
     * @param text of the BERT
     */
    public record Heads(long image, long text) {
        /** The published network's. */
        public static final Heads PUBLISHED = new Heads(16, 12);

        /** Checks the ranges. */
        public Heads {
            checkArgument(
                    image >= 1 && text >= 1, "%s image heads and %s text heads: expected at least 1", image, text);
        }
    }

    private final ParameterArena arena;
    private final CpuUse use;
    private final Heads heads;
    private final DType type;
    private final Weights weights;

    private ImageReward(ParameterArena arena, Heads heads, DType type) {
        this.arena = arena;
        this.use = new CpuUse(arena);
        this.heads = heads;
        this.type = type;
        this.weights = new Weights(arena, "");
    }

    /**
     * Loads the published network.
     *
     * @param file {@code ImageReward.pt}, or its copy as safetensors
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    public static ImageReward load(Path file, DType type, Device device) throws IOException {
        return load(file, Heads.PUBLISHED, type, device);
    }

    /**
     * Loads a network with other heads.
     *
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    public static ImageReward load(Path file, Heads heads, DType type, Device device) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            return read(open, heads, type, device);
        } catch (IOException e) {
            throw ConfigFile.named(file, e);
        }
    }

    /**
     * Reads a network from an open file.
     *
     * @param file stays the caller's
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file holds no such network
     */
    public static ImageReward read(TensorFile file, Heads heads, DType type, Device device) throws IOException {
        Fitting fitting = new Fitting("ImageReward", WeightFile.find(file, "ImageReward network", List.of(LAYOUT)));
        long[] patches = fitting.tensor(IMAGE + ".patch_embed.proj.weight", Fitting.ANY, 3, Fitting.ANY, Fitting.ANY);
        long width = patches[0];
        fitting.require(patches[2] == patches[3], "patches are " + patches[2] + " x " + patches[3]);
        fitting.tensor(IMAGE + ".patch_embed.proj.bias", width);
        fitting.tensor(IMAGE + ".cls_token", 1, 1, width);
        fitting.tensor(IMAGE + ".pos_embed", 1, Fitting.ANY, width);
        TransformerBlocks.add(fitting, IMAGE, width);
        TransformerBlocks.heads(fitting, "the vision transformer", width, heads.image());
        fitting.norm(IMAGE + ".norm", width);
        long textWidth = CrossBert.add(fitting, width, heads.text());
        LinearHead.add(fitting, "mlp.", textWidth);
        return new ImageReward(fitting.read(type, device), heads, type);
    }

    /** The side of the square images that the network takes. */
    public long imageSide() {
        long tokens = weights.get(IMAGE + ".pos_embed").size(1);
        return Math.round(Math.sqrt((double) tokens - 1))
                * weights.get(IMAGE + ".patch_embed.proj.weight").size(2);
    }

    /** The largest number of token ids of a text; the published model is used with 35. */
    public long context() {
        return weights.get(TEXT + ".position_embeddings.weight").size(0);
    }

    /** The number of token ids that the text encoder knows, from 0. */
    public long vocabulary() {
        return weights.get(TEXT + ".word_embeddings.weight").size(0);
    }

    /**
     * Returns the tokens of images.
     *
     * @param pixels (batch, 3, side, side), normalised by CLIP's mean and deviation
     * @return (batch, tokens, width)
     * @throws IllegalArgumentException for another shape
     */
    public Tensor imageTokens(Tensor pixels) {
        Weights image = weights.in(IMAGE);
        Tensor given = ImageLayers.square(
                "imageTokens",
                pixels,
                image.get("patch_embed.proj.weight"),
                image.get("pos_embed").size(1),
                type);
        return ImageLayers.block(given, x -> {
            Tensor weight = image.get("patch_embed.proj.weight");
            Tensor tokens = ImageLayers.tokens(
                    Torch.conv2d(
                            x,
                            weight,
                            image.get("patch_embed.proj.bias"),
                            new long[] {weight.size(2), weight.size(3)},
                            new long[] {0, 0},
                            1),
                    image.get("cls_token"),
                    image.get("pos_embed"));
            tokens = TransformerBlocks.forward(image, tokens, heads.image(), Activation.GELU, IMAGE_EPS, false);
            return ImageLayers.layerNorm(image, "norm", tokens, IMAGE_EPS);
        });
    }

    /**
     * Returns the states of a text's tokens, which attended to an image.
     *
     * @param ids (batch, length) int64, at most {@link #context} long
     * @param mask (batch, length): not 0 for tokens, 0 for padding; at least one token each
     * @param imageTokens (batch, tokens, width) of {@link #imageTokens}
     * @return (batch, length, text width)
     * @throws IllegalArgumentException for other shapes
     */
    public Tensor textStates(Tensor ids, Tensor mask, Tensor imageTokens) {
        ImageLayers.ids("textStates", ids, context());
        checkArgument(
                mask.shape().equals(ids.shape()),
                "textStates: mask is %s, expected the shape of the ids, %s",
                mask,
                ids);
        checkArgument(
                imageTokens.dim() == 3 && imageTokens.size(0) == ids.size(0),
                "textStates: image tokens are %s, expected (batch, tokens, width) with one image for each text of %s",
                imageTokens,
                ids);
        return CrossBert.forward(weights, ids, mask, imageTokens.to(type), heads.text());
    }

    /**
     * Returns the reward of each image for the text at the same place, mostly between -2 and 2.
     *
     * @param pixels (batch, 3, side, side), normalised by CLIP's mean and deviation
     * @param ids (batch, length) int64
     * @param mask (batch, length): not 0 for tokens, 0 for padding
     * @return (batch)
     * @throws IllegalArgumentException for other shapes
     */
    public Tensor score(Tensor pixels, Tensor ids, Tensor mask) {
        return ImageLayers.block(pixels, x -> {
            Tensor first = textStates(ids, mask, imageTokens(x)).select(1, 0);
            return ImageLayers.result(LinearHead.forward(weights.in("mlp"), first))
                    .sub(MEAN)
                    .div(DEVIATION);
        });
    }

    /** The weights, frozen, under their published names. */
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
