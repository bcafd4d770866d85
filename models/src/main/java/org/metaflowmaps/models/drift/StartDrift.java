package org.metaflowmaps.models.drift;

import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.InputValues;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The unconditional drift from the start of a map's posterior flows: v(0, 0, x̄; t, x) is the posterior mean minus x̄
 * for every x̄, so b_t(x) = (x̄ + v(0, 0, x̄; t, x) - x) / (1 - t) (method §3.5, second way). For times below 1.
 *
 * @param map not owned
 * @param noise x̄: (1, item shape) or (B, item shape), not owned
 * @param checked false to skip checks of times, labels and scales, which read them back: for values known to be valid
 */
public record StartDrift(MetaFlowMap map, Tensor noise, boolean checked) implements Drift {
    /** With all checks. */
    public StartDrift(MetaFlowMap map, Tensor noise) {
        this(map, noise, true);
    }

    @Override
    public Tensor at(Tensor time, Tensor state, Condition condition) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor zero = Torch.zerosLike(time);
            Tensor begin = noise.expand(state.shape());
            Tensor mean = begin.add(map.averageVelocity(zero, zero, begin, context(time, state, condition, checked)));
            return scope.keep(fromMean(mean, time, state));
        }
    }

    /** Returns a context at times below 1. */
    static Context context(Tensor time, Tensor state, Condition condition, boolean checked) {
        if (!checked) {
            return Context.unchecked(time, state, condition);
        }
        InputValues.requireTimesBelowOne("drift from a posterior mean: time", time);
        return new Context(time, state, condition);
    }

    /** Returns the drift (D - x) / (1 - t) for a denoiser's estimate D. */
    static Tensor fromMean(Tensor mean, Tensor time, Tensor state) {
        return mean.sub(state).div(MetaFlowMap.perItem(time.neg().add(1), state));
    }
}
