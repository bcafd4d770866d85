package org.metaflowmaps.models.model;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.google.common.base.Preconditions;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;

/**
 * The shape of a {@link FlowMapTransformer}; names in files are those of the public checkpoints' configurations.
 *
 * @param inputSize height and width of an item in pixels
 * @param patchSize height and width of a patch; divides the input size
 * @param inChannels channels of an item
 * @param hiddenSize width D of a token; a multiple of 4 and of the number of heads
 * @param depth number of blocks
 * @param numHeads attention heads per block
 * @param labelDim number of classes; 0 for none
 * @param encoderDepth blocks of the first stage, conditioned on (s, t, y, w) and E'_u; the rest are the second stage
 * @param classScales guidance scales w besides 1, one table row each
 * @param contextScales guidance scales for the context besides 1; both lists determine the table's rows
 * @param mlpRatio width of a block's hidden layer over D
 * @param zeroData true for weights with noise at time 1: times and sign are flipped before and after the network
 * @param learnSigma true if the head has twice the channels; only the first half is used
 * @param qkNorm true for RMS normalisation of queries and keys
 * @param preserveContextAtZero true to switch the context off exactly at t = 0
 * @param jointAttention true if every block also attends to the context's tokens, which are always added to the input
 * @param layout the network's inputs; a meta flow map's if missing in a file
 */
public record TransformerConfig(
        @JsonProperty("input_size") int inputSize,
        @JsonProperty("patch_size") int patchSize,
        @JsonProperty("in_channels") int inChannels,
        @JsonProperty("hidden_size") int hiddenSize,
        @JsonProperty("depth") int depth,
        @JsonProperty("num_heads") int numHeads,
        @JsonProperty("label_dim") int labelDim,
        @JsonProperty("encoder_depth") int encoderDepth,
        @JsonProperty("model_guidance_class_ws") List<Double> classScales,
        @JsonProperty("model_guidance_x_cond_ws") List<Double> contextScales,
        @JsonProperty("mlp_ratio") double mlpRatio,
        @JsonProperty("is_zero_data") boolean zeroData,
        @JsonProperty("learn_sigma") boolean learnSigma,
        @JsonProperty("qk_norm") boolean qkNorm,
        @JsonProperty("preserve_t_cond_0") boolean preserveContextAtZero,
        @JsonProperty("use_joint_attention") boolean jointAttention,
        @JsonProperty("layout") Layout layout)
        implements NetworkConfig {

    /** Sets defaults for missing values, and throws if settings do not fit together. */
    @SuppressWarnings("ConstantValue")
    public TransformerConfig {
        requireGiven("model_guidance_class_ws", classScales);
        requireGiven("model_guidance_x_ws", contextScales);
        classScales = classScales == null ? List.of() : List.copyOf(classScales);
        contextScales = contextScales == null ? List.of() : List.copyOf(contextScales);
        mlpRatio = mlpRatio == 0 ? 4 : mlpRatio;
        layout = layout == null ? Layout.META_FLOW_MAP : layout;
        require(
                inputSize > 0 && patchSize > 0 && inputSize % patchSize == 0,
                "input_size %s must be a multiple of patch_size %s",
                inputSize,
                patchSize);
        require(inChannels > 0, "in_channels is %s, expected at least 1", inChannels);
        require(hiddenSize > 0 && hiddenSize % 4 == 0, "hidden_size is %s, expected a multiple of 4", hiddenSize);
        require(
                numHeads > 0 && hiddenSize % numHeads == 0,
                "hidden_size %s must be a multiple of num_heads %s",
                hiddenSize,
                numHeads);
        require(depth > 0, "depth is %s, expected at least 1", depth);
        require(
                encoderDepth >= 0 && encoderDepth <= depth,
                "encoder_depth is %s, expected 0 to depth %s",
                encoderDepth,
                depth);
        require(labelDim >= 0, "label_dim is %s, expected 0 or more", labelDim);
        require(
                classScales.stream().allMatch(Double::isFinite),
                "model_guidance_class_ws are %s, expected finite numbers",
                classScales);
        require(
                contextScales.stream().allMatch(Double::isFinite),
                "model_guidance_x_cond_ws are %s, expected finite numbers",
                contextScales);
        requireSizes(
                inputSize,
                patchSize,
                inChannels,
                hiddenSize,
                labelDim,
                (1.0 + classScales.size()) * (1.0 + contextScales.size()),
                mlpRatio);
        require(
                layout == Layout.META_FLOW_MAP
                        || (!jointAttention
                                && !preserveContextAtZero
                                && classScales.isEmpty()
                                && contextScales.isEmpty()),
                "a flow-map layout has no context and no guidance: leave out use_joint_attention, preserve_t_cond_0,"
                        + " %s and %s",
                "model_guidance_class_ws",
                "model_guidance_x_cond_ws");
    }

    /** Reads a file, which may use the older name of the context's scales. */
    @JsonCreator
    static TransformerConfig read(
            @JsonProperty("input_size") int inputSize,
            @JsonProperty("patch_size") int patchSize,
            @JsonProperty("in_channels") int inChannels,
            @JsonProperty("hidden_size") int hiddenSize,
            @JsonProperty("depth") int depth,
            @JsonProperty("num_heads") int numHeads,
            @JsonProperty("label_dim") int labelDim,
            @JsonProperty("encoder_depth") int encoderDepth,
            @JsonProperty("model_guidance_class_ws") @Nullable List<Double> classScales,
            @JsonProperty("model_guidance_x_cond_ws") @Nullable List<Double> contextScales,
            @JsonProperty("model_guidance_x_ws") @Nullable List<Double> olderScales,
            @JsonProperty("mlp_ratio") double mlpRatio,
            @JsonProperty("is_zero_data") boolean zeroData,
            @JsonProperty("learn_sigma") boolean learnSigma,
            @JsonProperty("qk_norm") boolean qkNorm,
            @JsonProperty("preserve_t_cond_0") boolean preserveContextAtZero,
            @JsonProperty("use_joint_attention") boolean jointAttention,
            @JsonProperty("layout") @Nullable Layout layout) {
        require(
                contextScales == null || olderScales == null || contextScales.equals(olderScales),
                "model_guidance_x_cond_ws is %s, but model_guidance_x_ws, its older name, is %s: give one of them",
                contextScales,
                olderScales);
        List<Double> scales = contextScales != null ? contextScales : olderScales;
        return new TransformerConfig(
                inputSize,
                patchSize,
                inChannels,
                hiddenSize,
                depth,
                numHeads,
                labelDim,
                encoderDepth,
                classScales == null ? List.of() : classScales,
                scales == null ? List.of() : scales,
                mlpRatio,
                zeroData,
                learnSigma,
                qkNorm,
                preserveContextAtZero,
                jointAttention,
                layout == null ? Layout.META_FLOW_MAP : layout);
    }

    @SuppressWarnings("ConstantValue")
    private static void requireGiven(String name, List<Double> scales) {
        require(scales == null || scales.stream().noneMatch(Objects::isNull), "%s hold null, expected numbers", name);
    }

    /** Bounds that keep every size of a tensor within 32 bits, and the table of positions within a Java array. */
    private static void requireSizes(
            double inputSize,
            double patchSize,
            double inChannels,
            double hiddenSize,
            int labelDim,
            double rows,
            double mlpRatio) {
        double hidden = hiddenSize * mlpRatio;
        require(
                mlpRatio > 0 && hidden >= 1 && hidden < Integer.MAX_VALUE,
                "mlp_ratio is %s, expected a number above 0 that makes 1 to 2^31-2 of hidden_size %s",
                mlpRatio,
                hiddenSize);
        require(
                2 * patchSize * patchSize * inChannels < Integer.MAX_VALUE,
                "a patch of patch_size %s and in_channels %s has 2^30 numbers or more",
                patchSize,
                inChannels);
        require(
                inputSize / patchSize * (inputSize / patchSize) * hiddenSize < Integer.MAX_VALUE,
                "positions of input_size %s, patch_size %s and hidden_size %s are 2^31 numbers or more",
                inputSize,
                patchSize,
                hiddenSize);
        require(labelDim < Integer.MAX_VALUE, "label_dim is %s, expected less than 2^31-1", labelDim);
        require(rows < Integer.MAX_VALUE, "the guidance table has %s rows, expected less than 2^31-1", rows);
    }

    /** The network of a flow or a flow map with these blocks: no context, no guidance. */
    public TransformerConfig withoutContext() {
        return toBuilder()
                .classScales(List.of())
                .contextScales(List.of())
                .preserveContextAtZero(false)
                .jointAttention(false)
                .layout(Layout.FLOW_MAP)
                .build();
    }

    private static void require(boolean holds, String template, @Nullable Object... values) {
        Preconditions.checkArgument(holds, "transformer: " + template, values);
    }

    /** Returns a builder with the defaults of training's configuration; input size and channels have none. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder with these settings. */
    public Builder toBuilder() {
        return new Builder()
                .inputSize(inputSize)
                .patchSize(patchSize)
                .inChannels(inChannels)
                .hiddenSize(hiddenSize)
                .depth(depth)
                .numHeads(numHeads)
                .labelDim(labelDim)
                .encoderDepth(encoderDepth)
                .classScales(classScales)
                .contextScales(contextScales)
                .mlpRatio(mlpRatio)
                .zeroData(zeroData)
                .learnSigma(learnSigma)
                .qkNorm(qkNorm)
                .preserveContextAtZero(preserveContextAtZero)
                .jointAttention(jointAttention)
                .layout(layout);
    }

    @Override
    public long parameterCount() {
        try {
            return Math.addExact(
                    NetworkConfig.count(TransformerLayout.outside(this)),
                    Math.multiplyExact((long) depth, NetworkConfig.count(TransformerLayout.block("", this))));
        } catch (ArithmeticException | IllegalArgumentException e) {
            throw new IllegalArgumentException(
                    "transformer: hidden_size " + hiddenSize + " with depth " + depth
                            + " makes more parameters than 64 bits can count: lower them",
                    e);
        }
    }

    @Override
    public Map<String, Shape> parameterShapes() {
        return TransformerLayout.shapes(this);
    }

    @Override
    public long tensorCount() {
        long perBlock = TransformerLayout.block("", this).size() + (jointAttention ? 1L : 0L);
        return TransformerLayout.outside(this).size() + 1 + depth * perBlock;
    }

    @Override
    public Map<String, Shape> shapes() {
        Map<String, Shape> shapes = NetworkConfig.super.shapes();
        Shape positions = Shape.of(1, tokens(), hiddenSize);
        shapes.put("pos_embed", positions);
        for (int i = 0; jointAttention && i < depth; i++) {
            shapes.put("blocks." + i + ".pos_embed", positions);
        }
        return shapes;
    }

    @Override
    public double silentFloats() {
        return (double) tokens() * (8.0 * hiddenSize + 2.0 * hiddenWidth());
    }

    @Override
    public MetaFlowMap zeros(Device device) {
        return FlowMapTransformer.zeros(this, device);
    }

    @Override
    public MetaFlowMap initialised(Device device, RandomSource random) {
        return FlowMapTransformer.initialised(this, device, random);
    }

    int grid() {
        return inputSize / patchSize;
    }

    int tokens() {
        return grid() * grid();
    }

    int hiddenWidth() {
        return (int) (hiddenSize * mlpRatio);
    }

    int outChannels() {
        return learnSigma ? 2 * inChannels : inChannels;
    }

    /** Returns the scales of the table's rows: 1 (no guidance) first. */
    List<Double> allowedScales() {
        return Stream.concat(Stream.of(1.0), classScales.stream()).toList();
    }

    /** Returns the rows of the guidance embedding: one for each pair of a class scale and a context scale. */
    public int guidanceRows() {
        return (1 + classScales.size()) * (1 + contextScales.size());
    }

    /** A builder; by default no classes, no guidance, every switch off, and the layout of a meta flow map. */
    public static final class Builder {
        private int inputSize;
        private int patchSize = 4;
        private int inChannels;
        private int hiddenSize = 128;
        private int depth = 4;
        private int numHeads = 4;
        private int labelDim;
        private @Nullable Integer encoderDepth;
        private List<Double> classScales = List.of();
        private List<Double> contextScales = List.of();
        private double mlpRatio = 4;
        private boolean zeroData;
        private boolean learnSigma;
        private boolean qkNorm;
        private boolean preserveContextAtZero;
        private boolean jointAttention;
        private Layout layout = Layout.META_FLOW_MAP;

        private Builder() {}

        /** Sets the height and width of an item in pixels. */
        public Builder inputSize(int inputSize) {
            this.inputSize = inputSize;
            return this;
        }

        /** Sets the height and width of a patch. */
        public Builder patchSize(int patchSize) {
            this.patchSize = patchSize;
            return this;
        }

        /** Sets the channels of an item. */
        public Builder inChannels(int inChannels) {
            this.inChannels = inChannels;
            return this;
        }

        /** Sets the width of a token, a multiple of 4 and of the number of heads. */
        public Builder hiddenSize(int hiddenSize) {
            this.hiddenSize = hiddenSize;
            return this;
        }

        /** Sets the number of blocks. */
        public Builder depth(int depth) {
            this.depth = depth;
            return this;
        }

        /** Sets the attention heads per block. */
        public Builder numHeads(int numHeads) {
            this.numHeads = numHeads;
            return this;
        }

        /** Sets the number of classes; 0 for none. */
        public Builder labelDim(int labelDim) {
            this.labelDim = labelDim;
            return this;
        }

        /** Sets the blocks of the first stage; two thirds of the depth, rounded, if it is not set. */
        public Builder encoderDepth(int encoderDepth) {
            this.encoderDepth = encoderDepth;
            return this;
        }

        /** Sets the guidance scales besides 1, one table row each. */
        public Builder classScales(List<Double> classScales) {
            this.classScales = classScales;
            return this;
        }

        /** Sets the guidance scales for the context besides 1. */
        public Builder contextScales(List<Double> contextScales) {
            this.contextScales = contextScales;
            return this;
        }

        /** Sets the width of a block's hidden layer over the hidden size. */
        public Builder mlpRatio(double mlpRatio) {
            this.mlpRatio = mlpRatio;
            return this;
        }

        /** Sets whether the weights have data at time 0 and noise at 1. */
        public Builder zeroData(boolean zeroData) {
            this.zeroData = zeroData;
            return this;
        }

        /** Sets whether the head has twice the channels. */
        public Builder learnSigma(boolean learnSigma) {
            this.learnSigma = learnSigma;
            return this;
        }

        /** Sets whether queries and keys have RMS normalisation. */
        public Builder qkNorm(boolean qkNorm) {
            this.qkNorm = qkNorm;
            return this;
        }

        /** Sets whether the context is switched off exactly at t = 0. */
        public Builder preserveContextAtZero(boolean preserveContextAtZero) {
            this.preserveContextAtZero = preserveContextAtZero;
            return this;
        }

        /** Sets whether every block attends to the context's own tokens too. */
        public Builder jointAttention(boolean jointAttention) {
            this.jointAttention = jointAttention;
            return this;
        }

        /** Sets the network's inputs. */
        public Builder layout(Layout layout) {
            this.layout = layout;
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
                    encoderDepth == null ? (int) Math.round(depth / 1.5) : encoderDepth,
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
}
