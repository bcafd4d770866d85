package org.metaflowmaps.training;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Decides which steps to skip because of their gradient, and counts them, all on the device. The host sees the counts
 * of its last read.
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
     * Starts with no step skipped.
     *
     * @param above gradient norm above which a step is skipped; 0 to skip only gradients that are not finite
     * @param most the number of skipped steps in a row that is too many
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

    /** Reads the counts; the methods below return them. */
    void read() {
        known = counts.toDoubleArray();
        try (TensorScope scope = TensorScope.open()) {
            counts.select(0, LONGEST).copy_(counts.select(0, IN_ROW));
        }
    }

    /** Returns true if too many steps in a row were skipped between the last two reads. */
    boolean tooMany() {
        return known[LONGEST] >= most;
    }

    /** Returns true if the last step's gradient was not finite, so that the weights may be broken. */
    boolean broken() {
        return known[BROKEN] > 0;
    }

    /** Returns the steps skipped since the run's beginning. */
    long total() {
        return (long) known[TOTAL];
    }

    /** Returns the steps skipped since the last update. */
    int inRow() {
        return (int) known[IN_ROW];
    }

    /** Returns the longest sequence of skipped steps at the last read. */
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
