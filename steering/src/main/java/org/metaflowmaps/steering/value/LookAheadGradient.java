package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.BlockTape;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Tilt;

/**
 * Flow-map look-ahead (FMTT), a baseline: the gradient of λ·r(X_{t,1}(x)), where X is the deterministic flow map of the
 * unconditional flow, times the coefficient (method §11). One endpoint ignores the spread of the data, so the estimate
 * is biased.
 *
 * @param drift b
 * @param map its flow map is used at a context of time 0; not owned
 * @param tilt its reward has gradients
 * @param coefficient σ²/2
 */
public record LookAheadGradient(Drift drift, MetaFlowMap map, Tilt tilt, Coefficient coefficient)
        implements ValueGradient {
    /**
     * Checks the reward.
     *
     * @throws IllegalArgumentException if it has no gradients
     */
    public LookAheadGradient {
        Preconditions.checkNotNull(drift, "look-ahead gradient: the drift is null");
        Preconditions.checkNotNull(map, "look-ahead gradient: the map is null");
        Preconditions.checkNotNull(coefficient, "look-ahead gradient: the coefficient is null");
        Differentiable.require("look-ahead gradient", tilt);
    }

    @Override
    public Estimate at(Point point) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode on = Autograd.enableGrad();
                BlockTape tape = BlockTape.open()) {
            Tensor base = NoSteering.base(drift, point);
            Tensor state = ValueFunction.repeated(point.state(), 1).detach().requiresGrad_(true);
            Tensor times = point.times(point.rows());
            Context nothing = Context.unchecked(Torch.zerosLike(times), Torch.zerosLike(state), point.condition());
            Tensor end = map.flowMap(times, Torch.onesLike(times), state, nothing);
            Tensor score = ValueFunction.score(tilt, point, end, point.condition(), 1);
            Tensor gradient = Differentiable.gradient(tape, tilt, score, state);
            return Differentiable.estimate(scope, base, gradient, score, coefficient.at(point.clock()));
        }
    }

    /** Counts the drift, and map and reward with their backward passes. */
    @Override
    public long evaluations(Condition condition) {
        return drift.evaluations(condition) + 4L;
    }
}
