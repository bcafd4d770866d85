package org.metaflowmaps.steering.reward;

import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;

/** A function of samples that says how good they are: r in the tilted law p(x)·e^{λ·r(x)} (method §6). The factor λ is {@link Tilt}'s. */
public interface Reward extends AutoCloseable {
    /** Returns the name that messages and reports use. */
    String name();

    /**
     * Scores each sample by itself: a score depends on its own item alone.
     *
     * @param samples images (N, C, H, W) in [0, 1], or states (N, item shape) if {@link #takesStates}; float32 or float64, on the map's
     *     device
     * @param condition labels of the N items, if they have some
     * @return (N) of the samples' type, in the innermost open scope. Negative infinity is a legal score; NaN and positive infinity are not
     */
    Tensor score(Tensor samples, Condition condition);

    /** Returns true if gradients flow from scores to samples. */
    default boolean isDifferentiable() {
        return true;
    }

    /** Returns true if this reward takes the map's states as they are, false if it takes images in [0, 1]. */
    default boolean takesStates() {
        return false;
    }

    /** Frees what this reward owns; by default nothing. The reward's maker closes it, not a tilt or a sampler that uses it. */
    @Override
    default void close() {}
}
