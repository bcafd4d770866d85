package org.metaflowmaps.models.vision;

import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** The image and the text tower of CLIP (Radford et al. 2021, arXiv 2103.00020). */
final class ClipTowers {
    private ClipTowers() {}

    /** Adds the image tower's tensors; returns the number of features. */
    static long image(Fitting fitting, long heads) {
        long[] patches = fitting.tensor("image.patches.weight", Fitting.ANY, 3, Fitting.ANY, Fitting.ANY);
        long width = patches[0];
        fitting.require(
                patches[2] == patches[3], "patches are " + patches[2] + " x " + patches[3] + ", expected squares");
        fitting.tensor("image.class_token", width);
        long tokens = fitting.tensor("image.positions", Fitting.ANY, width)[0];
        long side = Math.round(Math.sqrt((double) tokens - 1));
        fitting.require(
                side * side == tokens - 1,
                "the image tower has " + tokens + " positions, expected a square and one more");
        fitting.norm("image.norm_first", width);
        TransformerBlocks.add(fitting, "image", width);
        TransformerBlocks.heads(fitting, "the image tower", width, heads);
        fitting.norm("image.norm_last", width);
        return fitting.tensor("image.projection", Fitting.ANY, width)[0];
    }

    /** Adds the text tower's tensors, with that many features. */
    static void text(Fitting fitting, long features, long heads) {
        long width = fitting.tensor("text.tokens", Fitting.ANY, Fitting.ANY)[1];
        fitting.tensor("text.positions", Fitting.ANY, width);
        TransformerBlocks.add(fitting, "text", width);
        TransformerBlocks.heads(fitting, "the text tower", width, heads);
        fitting.norm("text.norm_last", width);
        fitting.tensor("text.projection", features, width);
    }

    /** Returns the side of images that the image tower takes. */
    static long side(Weights image) {
        long tokens = image.get("positions").size(0);
        return Math.round(Math.sqrt((double) tokens - 1))
                * image.get("patches.weight").size(2);
    }

    /** Checks pixels for the image tower. */
    static Tensor pixels(String operation, Weights image, Tensor pixels, DType type) {
        return ImageLayers.square(
                operation,
                pixels,
                image.get("patches.weight"),
                image.get("positions").size(0),
                type);
    }

    /** Returns features (batch, features) of normalised pixels, not normalised. */
    static Tensor image(Weights image, Tensor pixels, ClipSettings settings) {
        return ImageLayers.block(pixels, x -> {
            Tensor weight = image.get("patches.weight");
            Tensor tokens = ImageLayers.tokens(
                    Torch.conv2d(x, weight, null, new long[] {weight.size(2), weight.size(3)}, new long[] {0, 0}, 1),
                    image.get("class_token"),
                    image.get("positions"));
            tokens = ImageLayers.layerNorm(image, "norm_first", tokens, settings.eps());
            tokens = TransformerBlocks.forward(
                    image, tokens, settings.imageHeads(), settings.activation(), settings.eps(), false);
            Tensor first = ImageLayers.layerNorm(image, "norm_last", tokens.select(1, 0), settings.eps());
            return Torch.linear(first, image.get("projection"));
        });
    }

    /** Returns features (batch, features) of token ids (batch, length), not normalised. */
    static Tensor text(Weights text, Tensor ids, ClipSettings settings) {
        return ImageLayers.block(ids, given -> {
            Tensor tokens = Torch.embedding(text.get("tokens"), given)
                    .add(text.get("positions").narrow(0, 0, given.size(1)));
            tokens = TransformerBlocks.forward(
                    text, tokens, settings.textHeads(), settings.activation(), settings.eps(), true);
            tokens = ImageLayers.layerNorm(text, "norm_last", tokens, settings.eps());
            // argmax returns the first of equal values.
            Tensor end = settings.endToken() == ClipSettings.LARGEST_ID
                    ? given.argmax(1)
                    : given.eq((double) settings.endToken()).to(DType.INT64).argmax(1);
            Tensor rows = end.reshape(-1, 1, 1).expand(-1, 1, tokens.size(2));
            return Torch.linear(tokens.gather(1, rows).squeeze(1), text.get("projection"));
        });
    }
}
