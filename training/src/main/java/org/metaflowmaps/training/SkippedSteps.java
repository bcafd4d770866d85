package org.metaflowmaps.training;

/** Tells which steps are not to be taken, because their gradient would do harm, and counts them. */
final class SkippedSteps {
    private final double above;
    private final int most;
    private long total;
    private int inRow;
    private boolean broken;

    /**
     * No step skipped yet.
     *
     * @param above gradient norm above which a step is skipped; 0 for only those that are not finite
     * @param most how many in a row are too many
     */
    SkippedSteps(double above, int most) {
        this.above = above;
        this.most = most;
    }

    /** Judges a step by its gradient's norm before clipping: true if it is to be taken. */
    boolean take(double norm) {
        if (Double.isFinite(norm) && (above == 0 || norm <= above)) {
            inRow = 0;
            broken = false;
            return true;
        }
        total++;
        inRow++;
        broken = !Double.isFinite(norm);
        return false;
    }

    /** Returns true if too many steps in a row were skipped to continue. */
    boolean tooMany() {
        return inRow >= most;
    }

    /** True if the last step's gradient was not finite: the weights themselves may be what is wrong. */
    boolean broken() {
        return broken;
    }

    /** Steps skipped since the run's beginning. */
    long total() {
        return total;
    }

    /** Steps skipped since the last one that was taken. */
    int inRow() {
        return inRow;
    }

    void resumeAt(long skipped, int skippedInRow) {
        total = skipped;
        inRow = skippedInRow;
    }
}
