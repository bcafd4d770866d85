package org.metaflowmaps.models.drift;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;

/**
 * An unconditional velocity b_t(x) = E[I_1 - I_0 | I_t = x] of the linear path from noise (t = 0) to data (t = 1): a network's, an
 * exact mixture's, or any function of that signature.
 */
@FunctionalInterface
public interface Drift {
    /**
     * The velocity.
     *
     * @param time t: (B) float32 in [0, 1]
     * @param state x: (B, item shape) float32
     * @param labels class of each item: (B) int64, the number of classes for "no label"; null for no labels at all
     * @param guidance amortised guidance scale w: (B) float32; null for 1 throughout
     * @return (B, item shape), in the innermost open scope
     */
    Tensor at(Tensor time, Tensor state, @Nullable Tensor labels, @Nullable Tensor guidance);
}
