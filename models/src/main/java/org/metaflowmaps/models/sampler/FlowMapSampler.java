package org.metaflowmaps.models.sampler;

import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Samples the data with the flow map inside a meta flow map: a chain of jumps at context time 0, where the context has
 * no information ("t0" in the public code). A flow map without contexts uses its own jumps.
 *
 * <p>Thread safety: immutable; several threads may sample at once. If another thread closes the map meanwhile, sampling
 * throws {@link IllegalStateException}.
 *
 * @param map the map to sample, not owned
 * @param grid the times of the jumps; one network evaluation each
 */
public record FlowMapSampler(MetaFlowMap map, TimeGrid grid) implements Sampler<Condition> {
    /** Checks that the grid begins at 0. */
    public FlowMapSampler {
        TimeGrid.requireNoiseFirst(grid, "flow-map sampler");
    }

    /** Uses jumps of equal length. */
    public FlowMapSampler(MetaFlowMap map, int steps) {
        this(map, TimeGrid.uniform(steps));
    }

    /** {@inheritDoc} The noise is also the context's unused state, as in training. */
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
