package org.metaflowmaps.models.sampler;

import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.model.Context;

/**
 * Samples the posterior of clean data given a noisy state, along the conditional drift from fresh noise; the reference
 * for {@link PosteriorSampler} (method §3).
 *
 * <p>Thread safety: immutable; several threads may sample at once. If another thread closes the
 * drift's network meanwhile, sampling throws {@link IllegalStateException}.
 *
 * @param drift of the posteriors, such as {@link org.metaflowmaps.models.drift.Glass}
 * @param grid the times at which steps begin and end
 * @param solver the method of a step; Heun's evaluates the drift at time 1 too, which has no meaning for contexts of
 *     time 1
 */
public record GlassSampler(ConditionalDrift drift, TimeGrid grid, Solver solver) implements Sampler<Context> {
    /** Checks that the grid begins at 0. */
    public GlassSampler {
        TimeGrid.requireNoiseFirst(grid, "GLASS sampler");
    }

    /** Uses Euler steps of equal length. */
    public GlassSampler(ConditionalDrift drift, int steps) {
        this(drift, TimeGrid.uniform(steps), Solver.EULER);
    }

    @Override
    public SampleResult sample(Noise noise, Context context, SamplingListener listener) {
        return Sampling.solve(
                grid,
                solver,
                noise,
                listener,
                drift.evaluations(context),
                (start, state) -> drift.at(start, state, context));
    }
}
