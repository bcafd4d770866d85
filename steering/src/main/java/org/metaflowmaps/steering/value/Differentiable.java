package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import java.util.Optional;
import org.metaflowmaps.models.model.BlockTape;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.reward.Tilt;

/** Gradients of scores with respect to states, for estimators that need them. */
final class Differentiable {
    private Differentiable() {}

    /** Throws for a reward without gradients. */
    static void require(String estimator, Tilt tilt) {
        Preconditions.checkArgument(
                tilt.reward().isDifferentiable(),
                "%s: reward %s has no gradients. Steer by it without them: with the gradient-free estimator"
                        + " (GradientFree), a particle filter, search or best-of-N",
                estimator,
                tilt.reward().name());
    }

    /**
     * Returns the gradient of each row's score, 0 if the score is negative infinity.
     *
     * @param tape under which the score was computed
     * @param score λ·r: (rows), with a graph
     * @param states a leaf that requires gradients: (rows, item shape)
     */
    static Tensor gradient(BlockTape tape, Tilt tilt, Tensor score, Tensor states) {
        Preconditions.checkArgument(
                score.requiresGrad(),
                "reward %s says that it has gradients, but its scores are cut off from the samples: compute them by "
                        + "operations on the samples with gradients recorded, or let isDifferentiable() return false",
                tilt.reward().name());
        Tensor gradient = tape.gradient(score.sum(), states);
        // There a gradient has no meaning and may be NaN, as for log at 0.
        Tensor impossible = MetaFlowMap.perItem(score.detach().eq(Double.NEGATIVE_INFINITY), states);
        return gradient.maskedFill(impossible, 0);
    }

    /**
     * Returns the estimate of a gradient through one end state.
     *
     * @param scope moves the results outwards
     * @param score λ·r: (rows), the value's estimate
     * @param coefficient σ²/2: () float64
     */
    static ValueGradient.Estimate estimate(
            TensorScope scope, Tensor base, Tensor gradient, Tensor score, Tensor coefficient) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            return new ValueGradient.Estimate(
                    scope.keep(base.detach()),
                    scope.keep(gradient.mul(coefficient)),
                    Optional.of(scope.keep(score.detach().to(DType.FLOAT64))));
        }
    }
}
