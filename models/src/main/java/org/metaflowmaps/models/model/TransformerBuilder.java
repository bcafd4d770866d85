package org.metaflowmaps.models.model;

import java.util.List;

/** Builds a {@link TransformerConfig} setting by setting; sizes have no default but the classes. */
public final class TransformerBuilder {
    private int inputSize;
    private int patchSize;
    private int inChannels;
    private int hiddenSize;
    private int depth;
    private int numHeads;
    private int labelDim;
    private int encoderDepth = -1;
    private List<Double> classScales = List.of();
    private List<Double> contextScales = List.of();
    private double mlpRatio = 4;
    private boolean zeroData;
    private boolean learnSigma;
    private boolean qkNorm;
    private boolean preserveContextAtZero;
    private boolean jointAttention;
    private Layout layout = Layout.META_FLOW_MAP;

    TransformerBuilder() {}

    /** Sets height and width of an item in pixels. */
    public TransformerBuilder inputSize(int value) {
        this.inputSize = value;
        return this;
    }

    /** Sets height and width of a patch. */
    public TransformerBuilder patchSize(int value) {
        this.patchSize = value;
        return this;
    }

    /** Sets channels of an item. */
    public TransformerBuilder inChannels(int value) {
        this.inChannels = value;
        return this;
    }

    /** Sets width of a token, a multiple of 4 and of the number of heads. */
    public TransformerBuilder hiddenSize(int value) {
        this.hiddenSize = value;
        return this;
    }

    /** Sets number of blocks. */
    public TransformerBuilder depth(int value) {
        this.depth = value;
        return this;
    }

    /** Sets attention heads per block. */
    public TransformerBuilder numHeads(int value) {
        this.numHeads = value;
        return this;
    }

    /** Sets number of classes; 0, the default, for none. */
    public TransformerBuilder labelDim(int value) {
        this.labelDim = value;
        return this;
    }

    /** Sets blocks of the first stage; two thirds of the depth by default. */
    public TransformerBuilder encoderDepth(int value) {
        this.encoderDepth = value;
        return this;
    }

    /** Sets guidance scales beside 1 that have a row of their own; none by default. */
    public TransformerBuilder classScales(List<Double> value) {
        this.classScales = value;
        return this;
    }

    /** Sets guidance scales for the context beside 1; none by default. */
    public TransformerBuilder contextScales(List<Double> value) {
        this.contextScales = value;
        return this;
    }

    /** Sets width of a block's hidden layer over the hidden size; 4 by default. */
    public TransformerBuilder mlpRatio(double value) {
        this.mlpRatio = value;
        return this;
    }

    /** Takes true for weights whose clock runs the other way; false by default. */
    public TransformerBuilder zeroData(boolean value) {
        this.zeroData = value;
        return this;
    }

    /** Takes true for a head with twice the channels; false by default. */
    public TransformerBuilder learnSigma(boolean value) {
        this.learnSigma = value;
        return this;
    }

    /** Takes true for RMS normalisation of queries and keys; false by default. */
    public TransformerBuilder qkNorm(boolean value) {
        this.qkNorm = value;
        return this;
    }

    /** Takes true to switch the context off exactly at t = 0; false by default. */
    public TransformerBuilder preserveContextAtZero(boolean value) {
        this.preserveContextAtZero = value;
        return this;
    }

    /** Takes true to let every block attend to the context's own tokens too; false by default. */
    public TransformerBuilder jointAttention(boolean value) {
        this.jointAttention = value;
        return this;
    }

    /** Sets which inputs there are; a meta flow map's by default. */
    public TransformerBuilder layout(Layout value) {
        this.layout = value;
        return this;
    }

    /**
     * Returns the configuration.
     *
     * @throws IllegalArgumentException if a size is missing, or settings do not fit together
     */
    public TransformerConfig build() {
        return new TransformerConfig(
                inputSize,
                patchSize,
                inChannels,
                hiddenSize,
                depth,
                numHeads,
                labelDim,
                encoderDepth < 0 ? depth * 2 / 3 : encoderDepth,
                classScales,
                contextScales,
                mlpRatio,
                zeroData,
                learnSigma,
                qkNorm,
                preserveContextAtZero,
                jointAttention,
                layout);
    }
}
