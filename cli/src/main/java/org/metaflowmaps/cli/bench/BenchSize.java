package org.metaflowmaps.cli.bench;

import org.metaflowmaps.models.model.TransformerConfig;

/** Sizes of networks, with DiT's names. */
@SuppressWarnings("ImmutableEnumChecker") // a record of numbers
public enum BenchSize {
    /** The network of the quick start: 28×28 pixels in patches of 4. */
    tiny(28, 4, 1, 128, 4, 4, 3, 10, 64),
    /** S/2 on latents of 32×32×4. */
    s2(32, 2, 4, 384, 12, 6, 8, 1000, 8),
    /** B/2 likewise. */
    b2(32, 2, 4, 768, 12, 12, 8, 1000, 8),
    /** XL/2 likewise. */
    xl2(32, 2, 4, 1152, 28, 16, 20, 1000, 4);

    private final TransformerConfig network;
    private final int batch;

    BenchSize(int side, int patch, int channels, int width, int depth, int heads, int encoder, int classes, int batch) {
        this.network = TransformerConfig.builder()
                .inputSize(side)
                .patchSize(patch)
                .inChannels(channels)
                .hiddenSize(width)
                .depth(depth)
                .numHeads(heads)
                .encoderDepth(encoder)
                .labelDim(classes)
                .build();
        this.batch = batch;
    }

    /** Returns the network's settings. */
    public TransformerConfig network() {
        return network;
    }

    /** Returns the items of a batch unless the user chooses. */
    public int batch() {
        return batch;
    }

    /** Returns the tokens of an item. */
    public long tokens() {
        long side = network.inputSize() / network.patchSize();
        return side * side;
    }

    /**
     * Returns the floating point operations of a forward pass for one item, a multiplication and an addition counted as two:
     * depth·((8 + 4r)·D²·L + 4·D·L² + 12·D²) + 4·D·L·p²·c for width D, L tokens, ratio r, patches of p² pixels of c channels. Of the
     * network it counts the products of matrices in the blocks, their modulation, and the patches' embedding and head.
     */
    public double forwardFlops() {
        double d = network.hiddenSize();
        double l = tokens();
        double patch = (double) network.patchSize() * network.patchSize() * network.inChannels();
        return network.depth() * ((8 + 4 * network.mlpRatio()) * d * d * l + 4 * d * l * l + 12 * d * d)
                + 4 * d * l * patch;
    }
}
