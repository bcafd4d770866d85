package org.metaflowmaps.models.sampler;

import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;

/**
 * Samples the data by one-step posterior draws and re-noising to later times in turn (paper, Algorithm 1; "kernel" in
 * the public code). Exact for an exact map, because a re-noised posterior draw of x_t has the law of x at the later
 * time.
 *
 * <p>Thread safety: immutable; several threads may sample at once, each with its own
 * {@link org.metaflowmaps.runtime.RandomSource}. If another thread closes the map's network meanwhile, sampling throws
 * {@link IllegalStateException}.
 *
 * @param map the map to sample, with contexts; not owned
 * @param grid the context times of the draws, from 0 on, and, last, 1; one network evaluation each
 */
public record RefinementSampler(MetaFlowMap map, TimeGrid grid) implements Sampler<Condition> {
    private static final TimeGrid ONE_STEP = TimeGrid.uniform(1);

    /** Checks that the map has contexts and that the grid begins at 0. */
    public RefinementSampler {
        PosteriorSampler.requireContexts(map, "refinement sampler");
        TimeGrid.requireNoiseFirst(grid, "refinement sampler");
    }

    /** Uses context times at equal distances. */
    public RefinementSampler(MetaFlowMap map, int steps) {
        this(map, TimeGrid.uniform(steps));
    }

    /**
     * {@inheritDoc} It takes 1 + 2·steps noises: the start, then for each step one for the posterior draw and one for
     * re-noising.
     */
    @Override
    public SampleResult sample(Noise noise, Condition condition, SamplingListener listener) {
        return Sampling.run(grid, noise, listener, 1, (step, state) -> {
            Tensor time = PosteriorSampler.time(grid, step, state);
            Context context = step == 0
                    ? new Context(time, state, condition).checkedFor(map)
                    : Context.unchecked(time, state, condition);
            Tensor clean = PosteriorSampler.chain(map, ONE_STEP, noise, context, SamplingListener.NONE)
                    .samples();
            return LinearInterpolant.state(noise.next(), clean, PosteriorSampler.time(grid, step + 1, state));
        });
    }
}
