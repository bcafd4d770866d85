package org.metaflowmaps.models.model;

import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;

/** The shape of a network, and what a network of this shape takes; asking for it allocates nothing. */
public sealed interface NetworkConfig permits TransformerConfig, MlpConfig {
    /** Bytes of Java and native objects for each named parameter, beside its values. */
    long BYTES_PER_TENSOR = 4096;

    /**
     * Numbers to train.
     *
     * @throws IllegalArgumentException if 64 bits cannot hold their number
     */
    long parameterCount();

    /** Parameters by name, in the buffer's order. Their number grows with the depth: see {@link #tensorCount}. */
    Map<String, Shape> parameterShapes();

    /** How many tensors {@link #shapes} lists. */
    long tensorCount();

    /** The shapes of all tensors that a file of this network has: parameters and buffers. */
    default Map<String, Shape> shapes() {
        return new LinkedHashMap<>(parameterShapes());
    }

    /**
     * An estimate of the numbers that one item keeps in memory between a forward pass and its backward pass. A pass without
     * gradients takes far less; see {@link #silentFloats}.
     */
    double trainingFloats();

    /** An estimate of the numbers that one item takes at most during a pass without gradients. */
    double silentFloats();

    /** A network with zero weights, to be filled from a file; owned by the caller. */
    MetaFlowMap zeros(Device device);

    /** A network to train from scratch; owned by the caller. */
    MetaFlowMap initialised(Device device, RandomSource random);

    /**
     * Refuses a network that this machine has no memory for.
     *
     * @throws IllegalArgumentException with the figures
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

    /** The number of elements of some shapes. */
    static long count(Map<String, Shape> shapes) {
        long sum = 0;
        for (Shape shape : shapes.values()) {
            sum = Math.addExact(sum, shape.numel());
        }
        return sum;
    }
}
