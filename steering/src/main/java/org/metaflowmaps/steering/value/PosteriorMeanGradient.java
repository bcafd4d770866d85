package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.BlockTape;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.reward.Tilt;

/**
 * Diffusion posterior sampling (DPS), a baseline: the gradient of λ·r(x + (1 - t)·b_t(x)) through the drift, times the
 * coefficient (method §7). It stays biased with more computation. The base drift comes from the same evaluation.
 *
 * @param drift b, differentiable in the state
 * @param tilt its reward has gradients
 * @param coefficient σ²/2
 */
public record PosteriorMeanGradient(Drift drift, Tilt tilt, Coefficient coefficient) implements ValueGradient {
    /**
     * Checks the reward.
     *
     * @throws IllegalArgumentException if it has no gradients
     */
    public PosteriorMeanGradient {
        Preconditions.checkNotNull(drift, "posterior-mean gradient: the drift is null");
        Preconditions.checkNotNull(coefficient, "posterior-mean gradient: the coefficient is null");
        Differentiable.require("posterior-mean gradient", tilt);
    }

    @Override
    public Estimate at(Point point) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode on = Autograd.enableGrad();
                BlockTape tape = BlockTape.open()) {
            Tensor state = ValueFunction.repeated(point.state(), 1).detach().requiresGrad_(true);
            Tensor base = drift.at(point.times(point.rows()), state, point.condition());
            Tensor mean = state.add(base.mul(point.clock().neg().add(1)));
            Tensor score = ValueFunction.score(tilt, point, mean, point.condition(), 1);
            Tensor gradient = Differentiable.gradient(tape, tilt, score, state);
            return Differentiable.estimate(scope, base, gradient, score, coefficient.at(point.clock()));
        }
    }

    /** Counts the drift and the reward, each with its backward pass: 4 as in the paper. */
    @Override
    public long evaluations(Condition condition) {
        return 2L * drift.evaluations(condition) + 2;
    }
}
