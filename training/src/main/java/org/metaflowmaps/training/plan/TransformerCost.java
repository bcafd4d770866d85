package org.metaflowmaps.training.plan;

import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.TransformerConfig;

/**
 * Costs of a transformer: operations by formula, launches from {@link BlockLaunches}, memory from
 * {@link TransformerMemory}.
 *
 * <p>A block multiplies each of its L tokens of width D by weights of 4·D² numbers and of the hidden layer's 2·D·D_h, its
 * condition by 6·D² (7 under joint attention), and its attention to K tokens is two products of L·K·D multiplications.
 * Outside of the blocks are the patches', times', modulations' and the head's layers.
 *
 * <p>A backward pass takes twice the operations of the layers, and 2.5 times those of the attention, which fused kernels
 * compute again. A tangent takes those of the layers once, and 2.5 times those of the attention, by
 * {@link org.metaflowmaps.models.layer.Dual#attention}.
 */
final class TransformerCost implements NetworkCost {
    private static final int SINUSOIDS = 256;
    private static final double FUSED_AGAIN = 2.5;

    private final TransformerConfig config;
    private final boolean taped;
    private final boolean contextual;
    private final BlockLaunches block;
    private final TransformerMemory memory;

    TransformerCost(TransformerConfig config, boolean narrow, boolean cpu, boolean taped) {
        this.config = config;
        this.taped = taped && !config.jointAttention();
        this.contextual = config.layout() == Layout.META_FLOW_MAP;
        this.block = new BlockLaunches(config, narrow, taped);
        this.memory = new TransformerMemory(config, narrow, narrow && cpu, this.taped);
    }

    /** The blocks whose tokens have a tangent: a flow map's end time is an input of the second stage only. */
    private int moving(LossPasses passes) {
        return contextual || !passes.alongEnd() ? config.depth() : config.depth() - config.encoderDepth();
    }

    // ---- operations ----

    private double blockLayers() {
        double width = config.hiddenSize();
        double tokens = TransformerMemory.tokens(config);
        double perToken = 4 * width * width + 2 * width * TransformerMemory.hidden(config);
        double condition = 6 * width * width;
        if (config.jointAttention()) {
            perToken += 2 * width * width + patch(config.inChannels()) * width;
            condition += width * width;
        }
        return 2 * (tokens * perToken + condition);
    }

    private double blockAttention() {
        double tokens = TransformerMemory.tokens(config);
        return 4 * tokens * tokens * (config.jointAttention() ? 2 : 1) * config.hiddenSize();
    }

    private double outside() {
        double width = config.hiddenSize();
        int outputs = config.learnSigma() ? 2 * config.inChannels() : config.inChannels();
        double perToken = width * (patch(config.inChannels()) * (contextual ? 2 : 1) + patch(outputs));
        double times = (contextual ? 5 : 2) * (SINUSOIDS * width + width * width);
        double modulations = (contextual ? 2 : 1) * 2 * width * width;
        return 2 * (TransformerMemory.tokens(config) * perToken + times + modulations);
    }

    private double patch(int channels) {
        return (double) config.patchSize() * config.patchSize() * channels;
    }

    @Override
    public double evaluation() {
        return config.depth() * (blockLayers() + blockAttention()) + outside();
    }

    @Override
    public Flops flops(LossPasses passes) {
        double depth = config.depth();
        double moving = moving(passes);
        double backward = depth * (2 * blockLayers() + FUSED_AGAIN * blockAttention()) + 2 * outside();
        double tangent = moving * (blockLayers() + FUSED_AGAIN * blockAttention()) + outside();
        Flops recorded = new Flops(evaluation(), 0, backward);
        // Attention that is differentiated through its tangent is not fused: two products, and four of its tangent.
        Flops through = new Flops(
                evaluation(),
                moving * (blockLayers() + 2 * blockAttention()) + outside(),
                (depth - moving) * (2 * blockLayers() + FUSED_AGAIN * blockAttention())
                        + moving * (4 * blockLayers() + 6 * blockAttention())
                        + 4 * outside());
        return recorded.times(passes.recorded())
                .plus(through.times(passes.through()))
                .plus(new Flops((passes.silent() + passes.averaged()) * evaluation(), passes.tangents() * tangent, 0));
    }

    // ---- memory ----

    @Override
    public double bytes(LossPasses passes) {
        return memory.peak(passes, moving(passes));
    }

    @Override
    public double sums(LossPasses passes) {
        return memory.sums(passes);
    }

    @Override
    public double spare() {
        return memory.spare();
    }

    // ---- launches ----

    @Override
    public Launches launches(LossPasses passes) {
        int depth = config.depth();
        int moving = moving(passes);
        Launches sum = Launches.NONE;
        if (passes.recorded() > 0) {
            sum = sum.plus(block.recorded().times(depth)).plus(recordedOutside(84, 18, 152, 38));
        }
        if (passes.recorded() > 1) {
            // The second one's state needs a gradient, so a tape does not take it.
            sum = sum.plus(block.graph().times(depth)).plus(recordedOutside(58, 19, 125, 39));
        }
        if (passes.tangents() > 0) {
            // Along the start time, a flow map's second stage has a constant condition.
            int constant = contextual || passes.alongEnd() ? 0 : depth - config.encoderDepth();
            Launches tangent = block.tangent(true)
                    .times(moving - constant)
                    .plus(block.tangent(false).times(constant));
            sum = sum.plus(tangent.plus(outside(12, 4, 22, 7)).times(passes.tangents()));
        }
        if (passes.through() > 0) {
            sum = sum.plus(block.through().times(moving))
                    .plus(block.graph().times(depth - moving))
                    .plus(recordedOutside(140, 29, 252, 54));
        }
        return sum.plus(silent().times(passes.silent() + passes.averaged()));
    }

    @Override
    public Launches silent() {
        return block.silent().times(config.depth()).plus(outside(20, 7, 47, 15));
    }

    /** The same with a backward pass, whose sums fill memory. */
    private Launches recordedOutside(int kernels, int products, int contextualKernels, int contextualProducts) {
        return outside(kernels, products, contextualKernels, contextualProducts)
                .plus(new Launches(0, 0, contextual ? 2 : 1));
    }

    /** Launches outside of the blocks, as counted: of a flow map, and of a meta flow map with its context. */
    private Launches outside(int kernels, int products, int contextualKernels, int contextualProducts) {
        return contextual ? new Launches(contextualKernels, contextualProducts, 0) : new Launches(kernels, products, 0);
    }
}
