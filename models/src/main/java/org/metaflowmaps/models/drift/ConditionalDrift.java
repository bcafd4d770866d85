package org.metaflowmaps.models.drift;

import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.runtime.Tensor;

/**
 * The velocity b̄_s(x̄; t, x) = E[I_1 - Ī_0 | Ī_s = x̄, I_t = x] of the flow that carries noise to the posterior of
 * clean data given x_t (method §2): {@link Glass} or an exact drift.
 */
@FunctionalInterface
public interface ConditionalDrift {
    /**
     * Returns the velocity.
     *
     * @param start s: (B) float32 in [0, 1]
     * @param state x̄: (B, item shape) float32
     * @param context t, x_t and the condition of each item
     * @return (B, item shape), in the innermost open scope
     */
    Tensor at(Tensor start, Tensor state, Context context);

    /** Returns the number of network evaluations of one call. */
    default int evaluations(Context context) {
        return 1;
    }
}
