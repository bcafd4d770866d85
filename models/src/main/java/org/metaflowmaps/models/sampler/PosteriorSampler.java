package org.metaflowmaps.models.sampler;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Independent samples of the clean data that a noisy state could have come from, by a few flow-map steps from fresh noise
 * (method §5). One step is one evaluation of the network, and the result is differentiable in the context's state.
 *
 * <p>Thread safety: immutable; several threads may sample at once, each with its own {@link RandomSource}. If another thread closes the
 * map's network meanwhile, sampling throws {@link IllegalStateException}.
 *
 * @param map what is sampled, with contexts; not owned
 * @param steps flow-map steps per sample, at least 1
 */
public record PosteriorSampler(MetaFlowMap map, int steps) {
    /** Checks the number of steps, and that the map has contexts. */
    public PosteriorSampler {
        requireContexts(map, "posterior sampler");
        Preconditions.checkArgument(steps >= 1, "posterior sampler: %s steps, expected at least 1", steps);
    }

    /**
     * The sample that noise is carried to.
     *
     * @param noise standard normal: (B, item shape)
     * @param context the B posteriors to sample
     * @return (B, item shape), in the innermost open scope
     */
    public Tensor sample(Tensor noise, Context context) {
        return chain(map, noise, context, steps);
    }

    /**
     * Several samples of each posterior.
     *
     * @param random draws the noise
     * @param context B posteriors
     * @param draws samples of each
     * @return (B, draws, item shape), in the innermost open scope
     */
    public Tensor sample(RandomSource random, Context context, int draws) {
        Preconditions.checkArgument(draws >= 1, "posterior sampler: %s draws, expected at least 1", draws);
        try (TensorScope scope = TensorScope.open()) {
            long batch = context.state().size(0);
            long[] item = map.itemShape();
            Tensor noise = random.normal(prepend(item, batch * draws));
            Tensor flat = sample(noise, context.repeatInterleave(draws));
            return scope.keep(flat.reshape(prepend(prepend(item, draws), batch)));
        }
    }

    /** A map without contexts would give draws that have nothing to do with the noisy state, and nothing would tell. */
    static void requireContexts(MetaFlowMap map, String what) {
        Preconditions.checkArgument(map.isContextual(),
                "%s: this map is one of a flow, without contexts, and knows no posteriors: a meta flow map is "
                + "needed (layout meta-flow-map). A flow map can be sampled by its jumps, a flow by its ODE", what);
    }

    /** Uniform flow-map steps from 0 to 1. */
    static Tensor chain(MetaFlowMap map, Tensor noise, Context context, int steps) {
        try (TensorScope scope = TensorScope.open()) {
            long batch = noise.size(0);
            Context known = context.checkedFor(map);
            Tensor state = noise;
            for (int step = 0; step < steps; step++) {
                Tensor start = Torch.full((double) step / steps, noise.dtype(), noise.device(), batch);
                Tensor end = Torch.full((step + 1.0) / steps, noise.dtype(), noise.device(), batch);
                state = map.flowMap(start, end, state, known);
            }
            return scope.keep(state);
        }
    }

    static long[] prepend(long[] shape, long size) {
        long[] longer = new long[shape.length + 1];
        longer[0] = size;
        System.arraycopy(shape, 0, longer, 1, shape.length);
        return longer;
    }
}
