package org.metaflowmaps.training.plan;

import org.metaflowmaps.models.model.TransformerConfig;

/**
 * Launches of one transformer block with this library's kernels (docs/kernels.md), which need a width that is a multiple
 * of 128; blocks of other widths have more. All numbers were counted on the pretend device (docs/gpu.md), as differences
 * between networks of one block more and one less, of width 256; {@code PlanPretendTest} counts them again.
 */
final class BlockLaunches {
    /** By kind of attention: plain, normalised, joint, joint and normalised; in bfloat16, then in float32. */
    private static final int[][] RECORDED = {{66, 114, 90, 162}, {60, 102, 75, 138}};

    private static final int[][] TANGENT = {{16, 32, 21, 37}, {12, 24, 16, 28}};
    private static final int[][] SILENT = {{6, 22, 13, 37}, {5, 17, 10, 28}};
    private static final int[][] THROUGH = {{328, 432, 354, 482}, {300, 390, 318, 429}};

    /** What a tape saves, whose normalisations are computed by kernels; in bfloat16, then in float32. */
    private static final int[] TAPED = {-32, -27};

    private static final int[] TAPED_TANGENT = {-13, -9};

    private final int kind;
    private final boolean joint;
    private final boolean narrow;
    private final boolean taped;

    BlockLaunches(TransformerConfig config, boolean narrow, boolean taped) {
        this.joint = config.jointAttention();
        this.kind = (config.qkNorm() ? 1 : 0) + (joint ? 2 : 0);
        this.narrow = narrow;
        this.taped = taped && !joint;
    }

    private long kernels(int[][] table) {
        return table[narrow ? 0 : 1][kind];
    }

    /** A recorded evaluation and its backward pass, which adds gradients to those in float32. */
    Launches recorded() {
        return taped ? graph().plus(new Launches(TAPED[narrow ? 0 : 1], 0, 0)) : graph();
    }

    /** The same without a tape, as of a state that needs a gradient. */
    Launches graph() {
        return new Launches(kernels(RECORDED), joint ? 20 : 15, fills());
    }

    /** Of sums over all tokens, as gradients of biases and of the normalisations' gains are. */
    private long fills() {
        return (joint ? 6L : 4) + (kind % 2 == 0 ? 0 : joint ? 3 : 2);
    }

    /**
     * The tangent of a recorded evaluation.
     *
     * @param condition true if the block's condition has a tangent too
     */
    Launches tangent(boolean condition) {
        long kernels = kernels(TANGENT) + (taped ? TAPED_TANGENT[narrow ? 0 : 1] : 0);
        return condition ? new Launches(kernels, 5, 0) : new Launches(kernels - (taped ? 1 : 4), 4, 0);
    }

    /** A recorded evaluation with a differentiable tangent, and its backward pass. */
    Launches through() {
        return new Launches(kernels(THROUGH), joint ? 53 : 48, fills());
    }

    /** An evaluation without a graph. */
    Launches silent() {
        return new Launches(kernels(SILENT), joint ? 7 : 5, 0);
    }
}
