package org.metaflowmaps.models.vision;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** Transformer blocks with normalisation first, as in CLIP's towers and in vision transformers. */
final class TransformerBlocks {
    private static final String[] PARTS = {
        ".norm1.weight", ".norm1.bias", ".norm2.weight", ".norm2.bias", ".attn.qkv.weight", ".attn.qkv.bias",
        ".attn.proj.weight", ".attn.proj.bias", ".mlp.fc1.weight", ".mlp.fc1.bias", ".mlp.fc2.weight", ".mlp.fc2.bias"
    };

    private TransformerBlocks() {}

    /** Adds the tensors of all blocks under a name. */
    static void add(Fitting fitting, String name, long width) {
        int count = fitting.count(name + ".blocks.", PARTS);
        fitting.require(count > 0, name + " has no blocks");
        for (int i = 0; i < count; i++) {
            String block = name + ".blocks." + i;
            fitting.norm(block + ".norm1", width);
            fitting.linear(block + ".attn.qkv", 3 * width, width);
            fitting.linear(block + ".attn.proj", width, width);
            fitting.norm(block + ".norm2", width);
            long hidden = fitting.linear(block + ".mlp.fc1", Fitting.ANY, width);
            fitting.linear(block + ".mlp.fc2", width, hidden);
        }
    }

    /** Adds a check that heads divide the width. */
    static void heads(Fitting fitting, String name, long width, long heads) {
        fitting.require(
                heads > 0 && width % heads == 0,
                name + " is " + width + " wide, which " + heads + " heads do not divide: set the number of heads");
    }

    /** Applies all blocks to tokens (batch, tokens, width). */
    static Tensor forward(
            Weights weights, Tensor tokens, long heads, Activation activation, double eps, boolean causal) {
        Tensor x = tokens;
        for (int i = 0; weights.find("blocks." + i + ".norm1.weight").isPresent(); i++) {
            Weights block = weights.in("blocks." + i);
            x = ImageLayers.block(x, in -> {
                Tensor joined = ImageLayers.linear(block, "attn.qkv", ImageLayers.layerNorm(block, "norm1", in, eps));
                Tensor[] parts = joined.chunk(3, 2);
                Tensor mixed = attention(parts[0], parts[1], parts[2], heads, null, causal);
                Tensor y = in.add(ImageLayers.linear(block, "attn.proj", mixed));
                Tensor hidden = activation.of(
                        ImageLayers.linear(block, "mlp.fc1", ImageLayers.layerNorm(block, "norm2", y, eps)));
                return y.add(ImageLayers.linear(block, "mlp.fc2", hidden));
            });
        }
        return x;
    }

    /**
     * Attention in several heads.
     *
     * @param query (batch, tokens, width)
     * @param key (batch, keys, width)
     * @param value (batch, keys, width)
     * @param mask (batch, 1, 1, keys) bool, true for keys that count; null for all
     * @return (batch, tokens, width)
     */
    static Tensor attention(Tensor query, Tensor key, Tensor value, long heads, @Nullable Tensor mask, boolean causal) {
        Tensor q = split(query, heads);
        Tensor k = split(key, heads);
        Tensor v = split(value, heads);
        Tensor mixed = causal
                ? Torch.causalAttention(q, k, v)
                : mask == null
                        ? Torch.scaledDotProductAttention(q, k, v)
                        : Torch.scaledDotProductAttention(q, k, v, mask);
        Shape shape = query.shape();
        return mixed.transpose(1, 2).reshape(shape.size(0), shape.size(1), shape.size(2));
    }

    private static Tensor split(Tensor joined, long heads) {
        Shape shape = joined.shape();
        return joined.reshape(shape.size(0), shape.size(1), heads, shape.size(2) / heads)
                .transpose(1, 2);
    }
}
