package org.metaflowmaps.training.plan;

/**
 * Bytes that a training step needs on its device; the data set, the driver and the JVM are not included.
 *
 * @param weights of the trained network
 * @param gradients of all slices
 * @param moments of the optimiser
 * @param average the moving average of the weights
 * @param teacher a teacher's weights
 * @param copies in bfloat16 of the trained network's weights, and of those of the average and of a teacher if losses
 *     evaluate them
 * @param workspaces of libraries, and objects of tensors
 * @param updating what is needed for a moment, when no activations are in memory: gradients of bfloat16 weights in all
 *     slices, or a buffer of the optimiser
 * @param item activations and copies of one item
 * @param sums what sums over all items need for one item more, up to {@link #MOST_SUMS} together
 * @param spare the part of {@code item} that is free while those sums are computed
 */
public record StepMemory(
        double weights,
        double gradients,
        double moments,
        double average,
        double teacher,
        double copies,
        double workspaces,
        double updating,
        double item,
        double sums,
        double spare) {
    /** Of a sum over items on a GPU, which libtorch divides between a limited number of blocks; counted. */
    static final double MOST_SUMS = 132 * 1024 * 1024;

    /** Returns what a step needs for any number of items. */
    public double fixed() {
        return weights + gradients + moments + average + teacher + copies + workspaces;
    }

    /**
     * Returns the most bytes of a step.
     *
     * @param items of one pass
     */
    public double needed(long items) {
        double beside = Math.max(0, Math.min(items * sums, MOST_SUMS) - items * spare);
        return fixed() + Math.max(items * item + beside, updating);
    }

    /**
     * Returns the most items of one pass that fit.
     *
     * @param bytes the device's memory
     * @return 0 if not even one fits
     */
    public long largestBatch(double bytes) {
        double free = bytes - fixed();
        double beside = item - spare;
        double largest = Math.min(free / item, Math.max(free / (beside + sums), (free - MOST_SUMS) / beside));
        return needed(1) > bytes ? 0 : (long) Math.floor(largest);
    }
}
