package org.metaflowmaps.models.sampler;

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
 * @param grid the times that jumps lead to; one network evaluation each
 */
public record FlowMapSampler(MetaFlowMap map, TimeGrid grid) implements Sampler<Condition> {
    /** Checks that the grid begins at 0. */
    public FlowMapSampler {
        TimeGrid.requireNoiseFirst(grid, "flow-map sampler");
    }

    /** With jumps of one length. */
    public FlowMapSampler(MetaFlowMap map, int steps) {
        this(map, TimeGrid.uniform(steps));
    }

    /** {@inheritDoc} The noise also fills the context's unused state, as in training. */
    @Override
    public SampleResult sample(Noise noise, Condition condition, SamplingListener listener) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor initial = noise.next();
            Tensor never = Torch.zeros(initial.dtype(), initial.device(), initial.size(0));
            SampleResult result = PosteriorSampler.chain(
                    map, grid, Noise.of(initial), new Context(never, initial, condition), listener);
            scope.keep(result.samples());
            return result;
        }
    }
}
