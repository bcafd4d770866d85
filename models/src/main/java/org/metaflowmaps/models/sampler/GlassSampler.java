package org.metaflowmaps.models.sampler;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.runtime.Tensor;

/**
 * Samples of the clean data that a noisy state could have come from, by Euler steps along the conditional drift from fresh noise:
 * what a {@link PosteriorSampler} is measured against (method §3). One step is one evaluation of the drift.
 *
 * <p>Thread safety: immutable; several threads may sample at once. If another thread closes the
 * drift's network meanwhile, sampling throws {@link IllegalStateException}.
 *
 * @param drift of the posteriors, such as {@link org.metaflowmaps.models.drift.Glass}
 * @param steps uniform steps from 0 to 1, at least 1
 */
public record GlassSampler(ConditionalDrift drift, int steps) {
    /** Checks the number of steps. */
    public GlassSampler {
        Preconditions.checkArgument(steps >= 1, "GLASS sampler: %s steps, expected at least 1", steps);
    }

    /**
     * The sample that noise is carried to.
     *
     * @param noise standard normal: (B, item shape)
     * @param context the B posteriors to sample
     * @return (B, item shape), in the innermost open scope
     */
    public Tensor sample(Tensor noise, Context context) {
        return Euler.integrate(noise, steps, (start, state) -> drift.at(start, state, context));
    }
}
