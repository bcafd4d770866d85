package org.metaflowmaps.models.vision;

import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * BLIP's BERT: each layer attends to the text, then to the tokens of an image; normalisation comes after each residual
 * connection, and there are no segments (Li et al. 2022, arXiv 2201.12086).
 */
final class CrossBert {
    private static final double EPS = 1e-12;
    private static final String NAME = "blip.text_encoder.";
    private static final String LAYERS = NAME + "encoder.layer.";
    private static final String[] ATTENTIONS = {"attention", "crossattention"};
    private static final String[] PARTS = {"query", "key", "value"};

    private CrossBert() {}

    /** Adds the tensors; returns the width of the text's tokens. */
    static long add(Fitting fitting, long imageWidth, long heads) {
        long width = fitting.tensor(NAME + "embeddings.word_embeddings.weight", Fitting.ANY, Fitting.ANY)[1];
        fitting.tensor(NAME + "embeddings.position_embeddings.weight", Fitting.ANY, width);
        fitting.norm(NAME + "embeddings.LayerNorm", width);
        TransformerBlocks.heads(fitting, "the text encoder", width, heads);
        int count = fitting.count(
                LAYERS,
                ".attention.self.query.weight",
                ".crossattention.self.query.weight",
                ".intermediate.dense.weight",
                ".output.dense.weight");
        fitting.require(count > 0, LAYERS + " has no layers");
        for (int i = 0; i < count; i++) {
            String layer = LAYERS + i + ".";
            for (String attention : ATTENTIONS) {
                for (String part : PARTS) {
                    boolean cross = attention.equals("crossattention") && !part.equals("query");
                    fitting.linear(layer + attention + ".self." + part, width, cross ? imageWidth : width);
                }
                fitting.linear(layer + attention + ".output.dense", width, width);
                fitting.norm(layer + attention + ".output.LayerNorm", width);
            }
            long hidden = fitting.linear(layer + "intermediate.dense", Fitting.ANY, width);
            fitting.linear(layer + "output.dense", width, hidden);
            fitting.norm(layer + "output.LayerNorm", width);
        }
        return width;
    }

    /** Returns (batch, length, width) of ids and mask (batch, length) and image tokens (batch, tokens, image width). */
    static Tensor forward(Weights weights, Tensor ids, Tensor mask, Tensor image, long heads) {
        Weights embeddings = weights.in(NAME + "embeddings");
        return ImageLayers.block(ids, given -> {
            Tensor shown = mask.ne(0).reshape(given.size(0), 1, 1, given.size(1));
            Tensor x = Torch.embedding(embeddings.get("word_embeddings.weight"), given)
                    .add(embeddings.get("position_embeddings.weight").narrow(0, 0, given.size(1)));
            x = ImageLayers.layerNorm(embeddings, "LayerNorm", x, EPS);
            for (int i = 0; weights.find(LAYERS + i + ".output.dense.weight").isPresent(); i++) {
                Weights layer = weights.in(LAYERS + i);
                x = ImageLayers.block(x, in -> layer(layer, in, shown, image, heads));
            }
            return x;
        });
    }

    private static Tensor layer(Weights layer, Tensor input, Tensor shown, Tensor image, long heads) {
        Weights own = layer.in("attention");
        Tensor x = after(
                own.in("output"),
                input,
                TransformerBlocks.attention(
                        ImageLayers.linear(own, "self.query", input),
                        ImageLayers.linear(own, "self.key", input),
                        ImageLayers.linear(own, "self.value", input),
                        heads,
                        shown,
                        false));
        Weights cross = layer.in("crossattention");
        x = after(
                cross.in("output"),
                x,
                TransformerBlocks.attention(
                        ImageLayers.linear(cross, "self.query", x),
                        ImageLayers.linear(cross, "self.key", image),
                        ImageLayers.linear(cross, "self.value", image),
                        heads,
                        null,
                        false));
        return after(layer.in("output"), x, Torch.gelu(ImageLayers.linear(layer, "intermediate.dense", x)));
    }

    private static Tensor after(Weights output, Tensor input, Tensor branch) {
        return ImageLayers.layerNorm(output, "LayerNorm", input.add(ImageLayers.linear(output, "dense", branch)), EPS);
    }
}
