package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import java.util.Optional;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.PosteriorMeanGradient;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.steering.value.ValueGradient;

/**
 * How promising a particle is before the end: ψ_t(x), an estimate of the value e^{V_t(x)}. Any positive ψ gives the right law and an
 * unbiased normaliser, since the last potential is e^{λ·r(x_1)} itself; a better estimate gives less variance (method §8.1).
 */
public interface Potential {
    /**
     * A potential at some particles, without gradient graph.
     *
     * @param scores log ψ is the log-mean-exp over their second dimension: (rows, N), float64; with tempering each score is multiplied by
     *     the step's factor first
     * @param estimate the drift and its correction (σ²/2)·∇log ψ, which a guided transition needs; empty if unknown
     */
    record Value(Tensor scores, Optional<ValueGradient.Estimate> estimate) {}

    /** Returns the potential of each row of a point, in the innermost open scope. */
    Value at(Point point);

    /** Returns what the last potential e^{λ·r(x_1)} is of. */
    Tilt tilt();

    /** Returns the evaluations for each row by the paper's counting (method §8.4). */
    long evaluations(Condition condition);

    /** Returns ψ̂ = (1/N)·Σ e^{λ·r} over posterior draws of a meta flow map: unbiased for e^V. */
    static Potential of(ValueFunction value) {
        Preconditions.checkNotNull(value, "potential: the value function is null");
        return new Potential() {
            @Override
            public Value at(Point point) {
                return new Value(value.scores(point), Optional.empty());
            }

            @Override
            public Tilt tilt() {
                return value.tilt();
            }

            @Override
            public long evaluations(Condition condition) {
                return 2L * value.draws();
            }
        };
    }

    /**
     * Returns e^V̂ of an estimator that has a value, for guided transitions: one evaluation gives the potential and the drift.
     *
     * @param estimator such as {@link org.metaflowmaps.steering.value.MonteCarloGradient}; its estimates have values
     * @param tilt of the last potential, the same as the estimator's
     */
    static Potential of(ValueGradient estimator, Tilt tilt) {
        Preconditions.checkNotNull(estimator, "potential: the estimator is null");
        Preconditions.checkNotNull(tilt, "potential: the tilt is null");
        return new Potential() {
            @Override
            public Value at(Point point) {
                try (TensorScope scope = TensorScope.open()) {
                    ValueGradient.Estimate estimate = estimator.at(point);
                    Tensor value = estimate.value()
                            .orElseThrow(() -> new IllegalArgumentException(
                                    "potential: the estimator gives no value, expected one of those that do, such as "
                                            + "MonteCarloGradient or PosteriorMeanGradient"));
                    return new Value(
                            scope.keep(value.unsqueeze(1)),
                            Optional.of(new ValueGradient.Estimate(
                                    scope.keep(estimate.base()), scope.keep(estimate.correction()), Optional.empty())));
                }
            }

            @Override
            public Tilt tilt() {
                return tilt;
            }

            @Override
            public long evaluations(Condition condition) {
                return estimator.evaluations(condition);
            }
        };
    }

    /**
     * Returns e^{λ·r(D_t(x))} with its gradient: the potential of the twisted diffusion sampler (TDS), where D is the denoiser x + (1 - t)·b. It is
     * the paper's particle baseline.
     *
     * @param drift b, differentiable in the state
     * @param tilt its reward has gradients
     * @param coefficient σ²/2, the same as the transition's
     */
    static Potential twisted(Drift drift, Tilt tilt, Coefficient coefficient) {
        return of(new PosteriorMeanGradient(drift, tilt, coefficient), tilt);
    }
}
