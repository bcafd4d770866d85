package org.metaflowmaps.training.plan;

import org.metaflowmaps.models.model.TransformerConfig;

/**
 * Launches of one transformer block. All numbers were counted on the pretend device (docs/gpu.md), as differences
 * between networks of one block more and one less, of width 64 and, for fills, 256; {@code PlanPretendTest} counts them
 * again.
 */
final class BlockLaunches {
    /** By kind of attention: plain, normalised, joint, joint and normalised; in bfloat16, then in float32. */
    private static final int[][] RECORDED = {{82, 130, 111, 183}, {60, 102, 75, 138}};

    private static final int[][] TANGENT = {{27, 43, 32, 48}, {20, 32, 24, 36}};
    private static final int[][] SILENT = {{14, 30, 22, 46}, {10, 22, 15, 33}};
    private static final int[][] THROUGH = {{344, 448, 374, 502}, {300, 390, 318, 429}};

    /** What a tape saves: it records no views of a graph. */
    private static final int TAPED = -5;

    private static final int TAPED_TANGENT = -2;

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

    /** Conversions of the weights and biases of the products in bfloat16. */
    private long conversions() {
        return !narrow ? 0 : joint ? 10 : 8;
    }

    /** A recorded evaluation and its backward pass, with conversions of weights and of their gradients. */
    Launches recorded() {
        return taped ? graph().plus(new Launches(TAPED, 0, 0)) : graph();
    }

    private Launches graph() {
        return new Launches(kernels(RECORDED), joint ? 20 : 15, joint ? 6 : 4);
    }

    /** A second recorded evaluation of the same loss: its state needs a gradient, so a tape does not take it. */
    Launches second() {
        return taped ? graph() : graph().plus(new Launches(-2 * conversions(), 0, 0));
    }

    /**
     * The tangent of a recorded evaluation.
     *
     * @param condition true if the block's condition has a tangent too
     */
    Launches tangent(boolean condition) {
        long kernels = kernels(TANGENT) + (taped && narrow ? TAPED_TANGENT : 0);
        return condition ? new Launches(kernels, 8, 0) : new Launches(kernels - 4, 7, 0);
    }

    /** A recorded evaluation with a differentiable tangent, and its backward pass. */
    Launches through() {
        return new Launches(kernels(THROUGH), joint ? 53 : 48, joint ? 6 : 4);
    }

    /** An evaluation without a graph, with weights converted before. */
    Launches silent() {
        return new Launches(kernels(SILENT), joint ? 7 : 5, 0);
    }

    /** An evaluation that converts weights. */
    Launches frozen() {
        return silent().plus(converted());
    }

    /** The conversions themselves. */
    Launches converted() {
        return new Launches(conversions(), 0, 0);
    }
}
