package org.metaflowmaps.models.drift;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The unconditional drift b_t(x) = (D - x) / (1 - t) from one-step posterior draws; their mean estimates the denoiser
 * D_t(x) (method §3.5, third way). For times below 1; differentiable in the state.
 *
 * @param map not owned
 * @param draws number per item, at least 1; the estimate's error falls as 1/√draws
 * @param random draws the noise, not owned
 * @param checked false to skip checks of times, labels and scales, which read them back: for values known to be valid
 */
public record DrawsDrift(MetaFlowMap map, int draws, RandomSource random, boolean checked) implements Drift {
    /** Checks the number of draws. */
    public DrawsDrift {
        Preconditions.checkArgument(draws >= 1, "drift from draws: %s draws, expected at least 1", draws);
    }

    /** With all checks. */
    public DrawsDrift(MetaFlowMap map, int draws, RandomSource random) {
        this(map, draws, random, true);
    }

    @Override
    public Tensor at(Tensor time, Tensor state, Condition condition) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor zero = Torch.zerosLike(time);
            Tensor one = Torch.onesLike(time);
            Context context = StartDrift.context(time, state, condition, checked);
            Tensor sum = Torch.zerosLike(state);
            for (int draw = 0; draw < draws; draw++) {
                try (TensorScope inner = TensorScope.open()) {
                    sum.add_(map.flowMap(zero, one, random.normal(state.shape()), context));
                }
            }
            return scope.keep(StartDrift.fromMean(sum.div(draws), time, state));
        }
    }

    @Override
    public int evaluations(Condition condition) {
        return draws;
    }
}
