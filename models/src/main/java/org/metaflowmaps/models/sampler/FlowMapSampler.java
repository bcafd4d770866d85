package org.metaflowmaps.models.sampler;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Samples of the data by the ordinary flow map inside a meta flow map: a chain of jumps at context time 0, where the context
 * carries no information ("t0" in the public code). A flow map without contexts is sampled by its own jumps.
 *
 * <p>Thread safety: immutable; several threads may sample at once. If another thread closes the
 * map's network meanwhile, sampling throws {@link IllegalStateException}.
 *
 * @param map what is sampled, not owned
 * @param steps network evaluations per sample, at least 1
 */
public record FlowMapSampler(MetaFlowMap map, int steps) {
    /** Checks the number of steps. */
    public FlowMapSampler {
        Preconditions.checkArgument(steps >= 1, "flow map sampler: %s steps, expected at least 1", steps);
    }

    /**
     * The samples that noise is carried to.
     *
     * @param noise standard normal: (B, item shape); it also fills the context's unused state, as in training
     * @param condition labels and guidance scales of the B items
     * @return (B, item shape), in the innermost open scope
     */
    public Tensor sample(Tensor noise, Condition condition) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor never = Torch.zeros(noise.dtype(), noise.device(), noise.size(0));
            return scope.keep(PosteriorSampler.chain(map, noise, new Context(never, noise, condition), steps));
        }
    }
}
