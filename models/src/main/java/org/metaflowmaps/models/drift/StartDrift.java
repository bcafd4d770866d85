package org.metaflowmaps.models.drift;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The unconditional drift from where a map's posterior flows begin: v(0, 0, x̄; t, x) is the posterior mean less x̄, whatever x̄
 * is, so b_t(x) = (x̄ + v(0, 0, x̄; t, x) - x) / (1 - t) (method §3.5, second way). For times below 1.
 *
 * @param map not owned
 * @param noise x̄: (1, item shape) or (B, item shape), not owned
 */
public record StartDrift(MetaFlowMap map, Tensor noise) implements Drift {
    @Override
    public Tensor at(Tensor time, Tensor state, Condition condition) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor zero = Torch.zerosLike(time);
            Tensor begin = noise.expand(state.shape());
            Tensor mean = begin.add(map.averageVelocity(zero, zero, begin, new Context(time, state, condition)));
            return scope.keep(fromMean(mean, time, state));
        }
    }

    /** The drift (D - x) / (1 - t) of a denoiser's estimate D. */
    static Tensor fromMean(Tensor mean, Tensor time, Tensor state) {
        Preconditions.checkArgument(time.max().item() < 1,
                "drift from a posterior mean: a time is 1, where the mean is the state and says "
                + "nothing of the drift; give times below 1");
        return mean.sub(state).div(MetaFlowMap.perItem(time.neg().add(1), state));
    }
}
