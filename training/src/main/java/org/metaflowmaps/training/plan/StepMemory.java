package org.metaflowmaps.training.plan;

/**
 * Bytes that a training step needs on its device; the data set, the driver and the JVM are not included.
 *
 * @param weights of the trained network
 * @param gradients of all slices
 * @param moments of the optimiser
 * @param average the moving average of the weights
 * @param teacher a teacher's weights
 * @param copies weights in bfloat16, while a loss is computed
 * @param workspaces of libraries, and objects of tensors
 * @param updating what the optimiser needs for a moment, when no activations are in memory
 * @param item activations and copies of one item
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
        double item) {
    /** Returns what a step needs for any number of items. */
    public double fixed() {
        return held() + copies;
    }

    private double held() {
        return weights + gradients + moments + average + teacher + workspaces;
    }

    /**
     * Returns the most bytes of a step.
     *
     * @param items of one pass
     */
    public double needed(long items) {
        return held() + Math.max(copies + items * item, updating);
    }

    /**
     * Returns the most items of one pass that fit.
     *
     * @param bytes the device's memory
     * @return 0 if not even one fits
     */
    public long largestBatch(double bytes) {
        return needed(1) > bytes ? 0 : (long) Math.floor((bytes - fixed()) / item);
    }
}
