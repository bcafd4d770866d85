package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import java.util.Optional;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * MFM-G: the gradient of V̂_N in x_t through map, decoder and reward (paper equation 22), times the coefficient. Its
 * mean at N = 1 is the gradient of the expected reward, not of the value (method §6.2).
 *
 * @param drift b
 * @param value makes the draws; its reward has gradients
 * @param coefficient σ²/2
 */
public record MonteCarloGradient(Drift drift, ValueFunction value, Coefficient coefficient) implements ValueGradient {
    /**
     * Checks the reward.
     *
     * @throws IllegalArgumentException if it has no gradients
     */
    public MonteCarloGradient {
        Preconditions.checkNotNull(drift, "Monte Carlo gradient: the drift is null");
        Preconditions.checkNotNull(coefficient, "Monte Carlo gradient: the coefficient is null");
        Differentiable.require("Monte Carlo gradient", value.tilt());
    }

    @Override
    public Estimate at(Point point) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor base = scope.keep(NoSteering.base(drift, point));
            Tensor state = point.state();
            RunningMean gradient = new RunningMean(state);
            value.inChunks((first, count) -> {
                ValueFunction.Gradients part = value.gradients(point, first, count);
                try (Autograd.Mode off = Autograd.noGrad()) {
                    gradient.add(part.scores(), part.each());
                }
            });
            Tensor correction = gradient.mean()
                    .mul(coefficient.at(point.clock()))
                    .to(state.dtype())
                    .reshape(state.shape());
            Tensor estimate = gradient.logSum().sub(Math.log(value.draws()));
            return new Estimate(base, scope.keep(correction), Optional.of(scope.keep(estimate)));
        }
    }

    @Override
    public long evaluations(Condition condition) {
        return drift.evaluations(condition) + 4L * value.draws();
    }
}
