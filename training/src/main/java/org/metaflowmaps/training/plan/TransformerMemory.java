package org.metaflowmaps.training.plan;

import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.TransformerConfig;

/**
 * The memory that a loss of a transformer takes for one item.
 *
 * <p>What a block stores follows from its operations and was counted exactly. In bytes per token and width, in bfloat16
 * (float32): its input 4 (4), two normalisations 8 (8), two modulated inputs 4 (8), queries, keys and values 6 (12), the
 * attention 2 (4), its projection 4 (4), the sum 4 (4), the second layer 4 (4), and per hidden unit GELU's input and
 * result 4 (8). A tape stores queries, keys and values 6 (12), the attention 2 (4), its projection 2 (4), the second
 * layer 2 (4), GELU's input 2 (4), and the block's input 0 (4); in bfloat16 also once the last block's result, 4.
 *
 * <p>What is in memory only for a moment, at the peak, was fitted to peaks of libtorch's allocator on the pretend device
 * (docs/gpu.md), with this library's kernels and mlp_ratio 2 and 4. Attention's tangent without a kernel has matrices of
 * 32 (24) bytes per pair of tokens and head, which follow from the code.
 */
final class TransformerMemory {
    private final TransformerConfig config;
    private final boolean narrow;
    /** True if attention is computed in another type than the other products, from copies that its graph holds. */
    private final boolean copied;

    private final boolean taped;
    /** Numbers of an item's tokens. */
    private final double states;
    /** Numbers of an item's hidden layer. */
    private final double hidden;

    TransformerMemory(TransformerConfig config, boolean narrow, boolean copied, boolean taped) {
        this.config = config;
        this.narrow = narrow;
        this.copied = copied;
        this.taped = taped;
        this.states = tokens(config) * config.hiddenSize();
        this.hidden = tokens(config) * hidden(config);
    }

    static double tokens(TransformerConfig config) {
        double grid = (double) config.inputSize() / config.patchSize();
        return grid * grid;
    }

    static double hidden(TransformerConfig config) {
        return (int) (config.hiddenSize() * config.mlpRatio());
    }

    private double bytes(double perState, double perHidden) {
        return perState * states + perHidden * hidden;
    }

    private double bytes(double narrowState, double narrowHidden, double wideState, double wideHidden) {
        return narrow ? bytes(narrowState, narrowHidden) : bytes(wideState, wideHidden);
    }

    /** Pairs of tokens that attend to each other, over all heads. */
    private double pairs() {
        return tokens(config) * tokens(config) * config.numHeads() * (config.jointAttention() ? 2 : 1);
    }

    private double block(boolean onTape) {
        double layers = onTape ? bytes(12, 2, 28, 4) : bytes(36, 4, 48, 8);
        double normalised = config.qkNorm() ? bytes(20, 0, 16, 0) : 0;
        double joint = config.jointAttention() ? bytes(14, 0, 28, 0) : 0;
        // Sums of the softmax, statistics of the normalisations, modulations.
        double small =
                4 * tokens(config) * (config.numHeads() + (onTape ? 0 : 4)) + (onTape ? 24 : 32) * config.hiddenSize();
        // Queries, keys, values and result in float32; a tape keeps the first three in bfloat16 too.
        double attention = copied ? (onTape ? 16 : 10) * states : 0;
        return layers + normalised + joint + attention + small;
    }

    /** A block whose tangent has a graph: its attention is not fused. */
    private double throughBlock() {
        double normalised = config.qkNorm() ? bytes(20, 0, 31, 0) : 0;
        return block(false) + bytes(64, 0, 92, 0) + normalised + 12.5 * pairs();
    }

    /** Most bytes of a backward pass besides what is stored before it; what is freed on its way is subtracted. */
    private double backward() {
        return (taped ? bytes(25, 0, 33, 0) : bytes(22, 1, 20, 2)) + (contextual() ? 4 * states : 0);
    }

    /** The same of tangents: in the last block's attention, before it stores its other half, or in its hidden layer. */
    private double tangent() {
        double layers = taped ? bytes(19, 6, 13, 12) : bytes(54, 1, 36, 8);
        double attention = 0;
        if (config.qkNorm()) {
            attention = (taped ? bytes(86, -2, 70, 0) : bytes(85, -4, 64, -8))
                    + (config.jointAttention() ? 50 * states : 0);
        }
        if (!hasTangentKernel()) {
            attention = Math.max(attention, bytes(22, -4, 36, -8)) + (narrow ? 32 : 24) * pairs();
        }
        return Math.max(attention, layers) + (contextual() ? 12 * states : 0);
    }

    /**
     * Returns whether a kernel computes the attention's tangent (docs/kernels.md), or the CPU, which takes a few heads at a
     * time.
     */
    private boolean hasTangentKernel() {
        int width = config.hiddenSize() / config.numHeads();
        return width <= 128 && (!narrow || width % 8 == 0);
    }

    /** The same of evaluations without a graph, beside that of a recorded one: in its hidden layer or its attention. */
    private double silent() {
        double joint = config.jointAttention() ? 17 * states : 0;
        double attention = config.qkNorm() ? (config.jointAttention() ? 117 : 69) * states : 0;
        return Math.max(bytes(28, 4, 32, 8) + joint, attention) + (contextual() ? 16 * states : 0);
    }

    private double through() {
        return narrow
                ? Math.max(126 * states, 32 * pairs() - 40 * states)
                : Math.max(266 * states, 24 * pairs() + 76 * states);
    }

    /** Returns the bytes of sums in a tape's backward pass, if the most bytes are needed there. */
    double sums(LossPasses passes) {
        boolean elsewhere = passes.recorded() > 1 || passes.through() > 0 || passes.tangents() > 0 || isBeside(passes);
        return taped && !elsewhere ? bytes(0, 7, 0, 5) : 0;
    }

    /** Returns the bytes of {@link #backward} that are free during those sums. */
    double spare() {
        return taped ? Math.max(0, bytes(20, -2, 24, -4)) : 0;
    }

    /** Returns whether there are evaluations without a graph while a recorded one is in memory. */
    private static boolean isBeside(LossPasses passes) {
        return passes.silentLast() && passes.silent() + passes.averaged() + passes.teacher() > 0;
    }

    private boolean contextual() {
        return config.layout() == Layout.META_FLOW_MAP;
    }

    /**
     * Returns the most bytes at once.
     *
     * @param moving the blocks with a tangent, if the loss has one
     */
    double peak(LossPasses passes, int moving) {
        if (passes.through() > 0) {
            return moving * throughBlock() + (config.depth() - moving) * block(false) + through();
        }
        double stored = config.depth() * block(taped) + (taped && narrow ? 4 * states : 0);
        double most = stored + backward();
        if (passes.tangents() > 0) {
            most = Math.max(most, stored + tangent());
        }
        if (isBeside(passes)) {
            most = Math.max(most, stored + silent());
        }
        if (passes.recorded() > 1) {
            // The second one's state needs a gradient, so a tape does not take it; the embeddings and head are stored
            // twice.
            double graph = new TransformerMemory(config, narrow, copied, false).backward();
            most = Math.max(most, stored + config.depth() * block(false) + graph + 16 * states);
        }
        return most;
    }
}
