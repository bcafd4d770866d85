package org.metaflowmaps.models.sampler;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Samples the posterior of clean data given a noisy state independently, by a few flow-map steps from fresh noise
 * (method §5). One step is one evaluation of the network, and the result is differentiable in the context's state.
 *
 * <p>Thread safety: immutable; several threads may sample at once, each with its own {@link RandomSource}. If another
 * thread closes the map's network meanwhile, sampling throws {@link IllegalStateException}.
 *
 * @param map the map to sample, with contexts; not owned
 * @param grid the times of the flow-map steps; one network evaluation each
 */
public record PosteriorSampler(MetaFlowMap map, TimeGrid grid) implements Sampler<Context> {
    /** Checks that the map has contexts and that the grid begins at 0. */
    public PosteriorSampler {
        requireContexts(map, "posterior sampler");
        TimeGrid.requireNoiseFirst(grid, "posterior sampler");
    }

    /** Uses steps of equal length. */
    public PosteriorSampler(MetaFlowMap map, int steps) {
        this(map, TimeGrid.uniform(steps));
    }

    @Override
    public SampleResult sample(Noise noise, Context context, SamplingListener listener) {
        return chain(map, grid, noise, context, listener);
    }

    /**
     * Draws several samples of each posterior.
     *
     * @param random draws the noise
     * @param context B posteriors
     * @param draws samples of each, at least 1
     * @return samples (B, draws, item shape) in the innermost open scope
     */
    public SampleResult sample(RandomSource random, Context context, int draws) {
        Preconditions.checkArgument(draws >= 1, "posterior sampler: %s draws, expected at least 1", draws);
        try (TensorScope scope = TensorScope.open()) {
            long batch = context.state().size(0);
            SampleResult flat = sample(Noise.of(random, map, batch * draws), context.repeatInterleave(draws));
            Tensor samples = flat.samples().reshape(map.itemShape().prepend(batch, draws));
            return new SampleResult(scope.keep(samples), flat.evaluations(), flat.time());
        }
    }

    /** Throws for a map without contexts, because its draws would silently ignore the noisy state. */
    static void requireContexts(MetaFlowMap map, String what) {
        Preconditions.checkArgument(
                map.isContextual(),
                "%s: this map works without contexts and has no posteriors: use one of layout meta-flow-map. "
                        + "Sample a flow map by its jumps, a flow by its ODE",
                what);
    }

    /** Takes flow-map steps from 0 to 1. */
    static SampleResult chain(MetaFlowMap map, TimeGrid grid, Noise noise, Context context, SamplingListener listener) {
        Context known = context.checkedFor(map);
        return Sampling.run(
                grid,
                noise,
                listener,
                1,
                (step, state) -> map.flowMap(time(grid, step, state), time(grid, step + 1, state), state, known));
    }

    /** Returns a grid's time for each item. */
    static Tensor time(TimeGrid grid, int step, Tensor like) {
        return Torch.full(grid.time(step), like.dtype(), like.device(), like.size(0));
    }
}
