package org.metaflowmaps.models.sampler;

import com.google.common.base.Preconditions;
import java.util.function.Supplier;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Samples of the data by alternating one-step posterior draws and re-noising to ever later times (paper, Algorithm 1; "kernel" in
 * the public code). Exact for an exact map, as a re-noised posterior draw of x_t has the law of x at the later time.
 *
 * <p>Thread safety: immutable; several threads may sample at once, each with its own {@link RandomSource}. If another thread closes the
 * map's network meanwhile, sampling throws {@link IllegalStateException}.
 *
 * @param map what is sampled, with contexts; not owned
 * @param steps network evaluations per sample, at least 1
 */
public record RefinementSampler(MetaFlowMap map, int steps) {
    /** Checks the number of steps, and that the map has contexts. */
    public RefinementSampler {
        PosteriorSampler.requireContexts(map, "refinement sampler");
        Preconditions.checkArgument(steps >= 1, "refinement sampler: %s steps, expected at least 1", steps);
    }

    /**
     * Samples from given noise.
     *
     * @param initial standard normal: (B, item shape)
     * @param noises a fresh standard normal tensor (B, item shape) at each call: for each step the posterior draw's, then the
     *     re-noising's
     * @param condition labels and guidance scales of the B items
     * @return (B, item shape), in the innermost open scope
     */
    public Tensor sample(Tensor initial, Supplier<Tensor> noises, Condition condition) {
        try (TensorScope scope = TensorScope.open()) {
            long batch = initial.size(0);
            Context first = new Context(at(0, batch, initial), initial, condition).checkedFor(map);
            Tensor state = initial;
            for (int step = 0; step < steps; step++) {
                Context context = Context.unchecked(at(step, batch, initial), state, first.condition());
                Tensor clean = PosteriorSampler.chain(map, noises.get(), context, 1);
                state = LinearInterpolant.state(noises.get(), clean, at(step + 1, batch, initial));
            }
            return scope.keep(state);
        }
    }

    /**
     * Samples from fresh noise.
     *
     * @param random draws all noise
     * @param condition labels and guidance scales of the items
     * @param batch B, the number of items
     * @return (B, item shape), in the innermost open scope
     */
    public Tensor sample(RandomSource random, Condition condition, long batch) {
        long[] shape = PosteriorSampler.prepend(map.itemShape(), batch);
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(sample(random.normal(shape), () -> random.normal(shape), condition));
        }
    }

    private Tensor at(int step, long batch, Tensor like) {
        return Torch.full((double) step / steps, like.dtype(), like.device(), batch);
    }
}
