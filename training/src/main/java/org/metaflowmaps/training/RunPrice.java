package org.metaflowmaps.training;

import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TrainConfig;

/**
 * An estimate of a training run's peak memory, without the JVM and the data set.
 *
 * @param buffers bytes of weights, gradients of each slice, two moments and the moving average: accurate to a few percent
 * @param batch bytes of one batch: its items, and the network's activations for the backward passes. Accurate to about
 *     a factor of three; see {@link NetworkConfig#trainingFloats}
 */
record RunPrice(double buffers, double batch) {
    /** A batch is refused only if this share of its estimate is not free, so that no run that fits is refused. */
    private static final double SAFETY = 1 / 3.0;

    /** Items, noise, states, targets and a result of each of two losses. */
    private static final int COPIES_OF_ITEM = 12;

    static RunPrice of(TrainConfig config, long itemSize) {
        NetworkConfig network = config.model().network();
        double parameters = network.parameterCount();
        int slices = config.slicesOn(Device.CPU);
        // The map with its replicas and the view with averaged weights each have their own tensor objects.
        // In bfloat16, a copy of the map's and of the average's values, and gradients of each slice.
        double narrow = config.precision() == Precision.BFLOAT16 ? 2 * parameters * (2 + slices) : 0;
        double buffers = narrow
                + 4 * parameters * (4 + slices)
                + (1.0 + slices) * NetworkConfig.BYTES_PER_TENSOR * network.tensorCount();
        double passes = 1
                + (config.loss().consistency() == LossConfig.ConsistencyKind.NONE
                        ? 0
                        : config.loss().consistencyShare());
        return new RunPrice(
                buffers,
                4.0 * config.batch() * (passes * network.trainingFloats() + (double) COPIES_OF_ITEM * itemSize));
    }

    /**
     * Throws if this machine does not have enough memory for a run.
     *
     * @throws IllegalArgumentException with the needed and free memory, and the setting to lower
     */
    void require(TrainConfig config, Device device) {
        if (device.type() == Device.Type.CPU) {
            long parameters = config.model().network().parameterCount();
            FreeMemory.require(
                    "config: training " + parameters + " parameters (weights, gradients of each slice, moments, moving"
                            + " average)",
                    bytes(buffers),
                    "lower the model's width or depth, or slices");
            FreeMemory.require(
                    "config: batch " + config.batch() + " of a network of " + parameters + " parameters",
                    bytes(buffers + SAFETY * batch),
                    "lower batch and raise accumulate instead");
        }
    }

    private static long bytes(double value) {
        return value < Long.MAX_VALUE ? (long) value : -1;
    }
}
