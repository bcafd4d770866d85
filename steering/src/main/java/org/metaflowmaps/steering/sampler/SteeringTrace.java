package org.metaflowmaps.steering.sampler;

import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.value.ValueGradient;

/**
 * Values and norms of each step, on the device, not read back. For a Heun step those of the first evaluation.
 *
 * @param value the estimate V̂ at the beginning of each step: (steps, rows); NaN if the estimator has none
 * @param base norm of the base drift b: (steps, rows)
 * @param correction norm of the estimated correction b* - b, before any renormalisation: (steps, rows)
 */
public record SteeringTrace(Tensor value, Tensor base, Tensor correction) {
    /** Returns a trace without entries, in the innermost open scope. */
    static SteeringTrace empty(int steps, Tensor state) {
        return new SteeringTrace(blank(steps, state), blank(steps, state), blank(steps, state));
    }

    private static Tensor blank(int steps, Tensor state) {
        return Torch.full(Double.NaN, state.dtype(), state.device(), steps, state.size(0));
    }

    void set(int step, ValueGradient.Estimate estimate) {
        try (TensorScope scope = TensorScope.open()) {
            estimate.value().ifPresent(given -> value.select(0, step).copy_(given));
            base.select(0, step).copy_(CorrectionScale.norm(estimate.base()).reshape(-1));
            correction
                    .select(0, step)
                    .copy_(CorrectionScale.norm(estimate.correction()).reshape(-1));
        }
    }

    /** Returns the entries of the first steps, all that a budget let a run take. */
    SteeringTrace first(int steps) {
        return steps == value.size(0)
                ? this
                : new SteeringTrace(
                        value.narrow(0, 0, steps), base.narrow(0, 0, steps), correction.narrow(0, 0, steps));
    }

    SteeringTrace keptFrom(TensorScope scope) {
        return new SteeringTrace(scope.keep(value), scope.keep(base), scope.keep(correction));
    }
}
