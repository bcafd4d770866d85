package org.metaflowmaps.models.sampler;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.InputValues;
import org.metaflowmaps.runtime.Tensor;

/**
 * Samples of the data by Euler steps along the unconditional drift, dx/dt = b_t(x), from fresh noise: how a plain flow is sampled.
 *
 * <p>Thread safety: immutable; several threads may sample at once. If another thread closes the
 * drift's network meanwhile, sampling throws {@link IllegalStateException}.
 *
 * @param drift such as {@link org.metaflowmaps.models.drift.NetworkDrift}
 * @param steps uniform steps from 0 to 1, at least 1; one evaluation of the drift each
 */
public record OdeSampler(Drift drift, int steps) {
    /** Checks the number of steps. */
    public OdeSampler {
        Preconditions.checkArgument(steps >= 1, "ODE sampler: %s steps, expected at least 1", steps);
    }

    /**
     * The samples that noise is carried to.
     *
     * @param noise standard normal: (B, item shape)
     * @param condition labels and guidance scales of the B items
     * @return (B, item shape), in the innermost open scope
     */
    public Tensor sample(Tensor noise, Condition condition) {
        condition.guidance().ifPresent(scales -> InputValues.requireFinite("guidance", scales));
        return Euler.integrate(noise, steps, (time, state) -> drift.at(time, state, condition));
    }
}
