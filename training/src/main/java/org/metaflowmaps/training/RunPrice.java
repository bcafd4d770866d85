package org.metaflowmaps.training;

import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.plan.StepMemory;
import org.metaflowmaps.training.plan.StepPlan;

/** Refuses runs for which this machine has no memory. */
final class RunPrice {
    /** A batch is refused only if this share of its estimate is not free, so that no run that fits is refused. */
    private static final double SAFETY = 1 / 3.0;

    private RunPrice() {}

    /**
     * Throws if this machine does not have enough memory for a run, without the JVM and the data set.
     *
     * @throws IllegalArgumentException with the needed and free memory, and the setting to lower
     */
    static void require(TrainConfig config, Device device) {
        if (device.type() == Device.Type.CPU) {
            StepMemory memory = StepPlan.of(config, Device.Type.CPU).memory();
            // The teacher's size is a guess; loading it checks the memory for it.
            double fixed = memory.fixed() - memory.teacher();
            long parameters = config.model().network().parameterCount();
            FreeMemory.require(
                    "config: training " + parameters + " parameters (weights, gradients of each slice, moments, moving"
                            + " average)",
                    bytes(fixed),
                    "lower the model's width or depth, or slices");
            FreeMemory.require(
                    "config: batch " + config.batch() + " of a network of " + parameters + " parameters",
                    bytes(fixed + SAFETY * config.batch() * memory.item()),
                    "lower batch and raise accumulate instead");
        }
    }

    private static long bytes(double value) {
        return value < Long.MAX_VALUE ? (long) value : -1;
    }
}
