package org.metaflowmaps.training;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Decides which steps are not to be taken, because their gradient would do harm, and counts them, all of it on the device. What the host
 * knows is what it read last.
 */
final class SkippedSteps implements AutoCloseable {
    private static final int TOTAL = 0;
    private static final int IN_ROW = 1;
    private static final int LONGEST = 2;
    private static final int BROKEN = 3;

    private final double above;
    private final int most;
    private final Tensor counts;
    private double[] known = new double[BROKEN + 1];

    /**
     * No step skipped yet.
     *
     * @param above gradient norm above which a step is skipped; 0 for only those that are not finite
     * @param most how many in a row are too many
     */
    SkippedSteps(double above, int most, Device device) {
        this.above = above;
        this.most = most;
        try (TensorScope scope = TensorScope.open()) {
            counts = Torch.zeros(DType.FLOAT64, device, known.length).retain();
        }
    }

    /**
     * Judges a step by its gradient's norm before clipping, a scalar.
     *
     * @return a float32 scalar in the innermost open scope: 1 to skip the step, 0 to take it
     */
    Tensor judge(Tensor norm) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor finite = norm.isFinite().to(DType.FLOAT64);
            Tensor taken =
                    above == 0 ? finite : finite.mul(norm.to(DType.FLOAT64).le(above));
            Tensor skip = taken.neg().add(1);
            counts.select(0, TOTAL).add_(skip);
            Tensor inRow = counts.select(0, IN_ROW).add_(1).mul_(skip);
            Tensor longest = counts.select(0, LONGEST);
            longest.copy_(longest.maximum(inRow));
            counts.select(0, BROKEN).copy_(finite.neg().add(1));
            return scope.keep(skip.to(DType.FLOAT32));
        }
    }

    /** Reads the counts, which the other methods tell then. */
    void read() {
        known = counts.toDoubleArray();
        try (TensorScope scope = TensorScope.open()) {
            counts.select(0, LONGEST).copy_(counts.select(0, IN_ROW));
        }
    }

    /** Returns true if between two reads too many steps in a row were skipped to continue. */
    boolean tooMany() {
        return known[LONGEST] >= most;
    }

    /** True if the last step's gradient was not finite: the weights themselves may be what is wrong. */
    boolean broken() {
        return known[BROKEN] > 0;
    }

    /** Steps skipped since the run's beginning. */
    long total() {
        return (long) known[TOTAL];
    }

    /** Steps skipped since the last one that was taken. */
    int inRow() {
        return (int) known[IN_ROW];
    }

    /** The longest row of skipped steps that the last read found. */
    int longest() {
        return (int) known[LONGEST];
    }

    void resumeAt(long skipped, int skippedInRow) {
        known = new double[] {skipped, skippedInRow, skippedInRow, 0};
        try (TensorScope scope = TensorScope.open()) {
            counts.copy_(Torch.of(known));
        }
    }

    @Override
    public void close() {
        counts.close();
    }
}
