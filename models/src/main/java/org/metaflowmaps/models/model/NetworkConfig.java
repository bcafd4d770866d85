package org.metaflowmaps.models.model;

import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;

/**
 * The shape of a network and its memory needs; its methods except {@code zeros} and {@code initialised} allocate no
 * tensors.
 */
public sealed interface NetworkConfig permits TransformerConfig, MlpConfig {
    /** Bytes of Java and native objects for each named parameter, besides its values. */
    long BYTES_PER_TENSOR = 4096;

    /**
     * Returns the number of trained values.
     *
     * @throws IllegalArgumentException if the number does not fit in 64 bits
     */
    long parameterCount();

    /**
     * Returns parameters by name, in the buffer's order. Their number grows with the depth: see {@link #tensorCount}.
     */
    Map<String, Shape> parameterShapes();

    /** Returns the number of tensors in {@link #shapes}. */
    long tensorCount();

    /** The shapes of all tensors that a file of this network has: parameters and buffers. */
    default Map<String, Shape> shapes() {
        return new LinkedHashMap<>(parameterShapes());
    }

    /** Returns an estimate of the most values per item in memory during a pass without gradients. */
    double silentFloats();

    /** Returns a network with zero weights, to load a file into; owned by the caller. */
    MetaFlowMap zeros(Device device);

    /** Returns a network to train from scratch; owned by the caller. */
    MetaFlowMap initialised(Device device, RandomSource random);

    /**
     * Throws if this machine does not have enough memory for the network.
     *
     * @throws IllegalArgumentException with both sizes
     */
    default void requireMemory(Device device) {
        long parameters = parameterCount();
        if (device.type() == Device.Type.CPU) {
            double needed = 4.0 * parameters + (double) BYTES_PER_TENSOR * tensorCount();
            FreeMemory.require(
                    "a network of " + parameters + " parameters",
                    needed < Long.MAX_VALUE ? (long) needed : -1,
                    "lower its width or depth");
        }
    }

    /** Returns the number of elements of some shapes. */
    static long count(Map<String, Shape> shapes) {
        long sum = 0;
        for (Shape shape : shapes.values()) {
            sum = Math.addExact(sum, shape.numel());
        }
        return sum;
    }
}
