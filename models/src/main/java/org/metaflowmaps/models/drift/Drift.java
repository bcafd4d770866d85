package org.metaflowmaps.models.drift;

import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;

/**
 * An unconditional velocity b_t(x) = E[I_1 - I_0 | I_t = x] of the linear path from noise (t = 0) to data (t = 1): of a
 * network, an exact mixture, or any function of that signature.
 */
@FunctionalInterface
public interface Drift {
    /**
     * Returns the velocity.
     *
     * @param time t: (B) float32 in [0, 1]
     * @param state x: (B, item shape) float32
     * @param condition labels and guidance scales of the items
     * @return (B, item shape), in the innermost open scope
     */
    Tensor at(Tensor time, Tensor state, Condition condition);

    /** Returns the number of network evaluations of one call. */
    default int evaluations(Condition condition) {
        return 1;
    }
}
