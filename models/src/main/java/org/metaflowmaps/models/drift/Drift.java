package org.metaflowmaps.models.drift;

import org.metaflowmaps.models.model.Condition;
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
     * @param condition labels and guidance scales of the items
     * @return (B, item shape), in the innermost open scope
     */
    Tensor at(Tensor time, Tensor state, Condition condition);

    /** Returns how many network evaluations one call costs for items of a condition. */
    default int evaluations(Condition condition) {
        return 1;
    }
}
