package org.metaflowmaps.steering.reward;

import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;

/** A function that scores samples: r in the tilted law p(x)·e^{λ·r(x)} (method §6). {@link Tilt} has the factor λ. */
public interface Reward extends AutoCloseable {
    /** Returns the name for messages and reports. */
    String name();

    /** Returns the name with all settings that scores depend on, for logs, and to recognise a resumed run's reward. */
    default String description() {
        return name();
    }

    /** Returns how much more than a float32 number of this size a score may change with the size of the batch. */
    default double rounding() {
        return 0;
    }

    /** Returns where NaN appeared first in what was scored so far, for a message; empty if unknown. */
    default String diagnosis() {
        return "";
    }

    /**
     * Scores each sample: a score depends only on its own item.
     *
     * @param samples images (N, C, H, W) in [0, 1], or states (N, item shape) if {@link #takesStates}; float32 or
     *     float64, on the map's device
     * @param condition labels of the N items, if they have some
     * @return (N) of the samples' type, in the innermost open scope. Negative infinity is allowed; NaN and positive
     *     infinity are not
     */
    Tensor score(Tensor samples, Condition condition);

    /** Returns true if gradients flow from scores to samples. */
    default boolean isDifferentiable() {
        return true;
    }

    /**
     * Returns true if several threads may score samples at the same time. Samplers on the CPU then share out the draws
     * of a step, and call this reward with some of them.
     */
    default boolean isConcurrent() {
        return false;
    }

    /** Returns true if this reward scores the map's states, false for images in [0, 1]. */
    default boolean takesStates() {
        return false;
    }

    /**
     * Frees this reward's tensors; by default nothing. The caller that made the reward closes it, not a tilt or a
     * sampler.
     */
    @Override
    default void close() {}
}
