package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import java.util.Optional;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * MFM-GF: (Σ w_i·x̂_i - centre) / (1 - t) with w = softmax(λ·r), for rewards with or without gradients (paper equation
 * 20). It estimates b* - b directly, so it has no coefficient.
 *
 * @param drift b
 * @param value makes the draws
 * @param centre the reference of the weighted mean
 */
public record GradientFree(Drift drift, ValueFunction value, Centre centre) implements ValueGradient {
    /** The least value of 1 - t. */
    private static final double LEAST_REST = 1e-3;

    /** The reference of the draws' weighted mean. */
    public enum Centre {
        /** The draws' plain mean. With one draw the correction is exactly 0, and no draw is made. */
        DRAWS,
        /** The denoiser x + (1 - t)·b: less variance for about four draws or more, and not 0 for one (method §6.2). */
        DENOISER
    }

    /** Checks the components. */
    public GradientFree {
        Preconditions.checkNotNull(drift, "gradient-free estimator: the drift is null");
        Preconditions.checkNotNull(value, "gradient-free estimator: the value function is null");
        Preconditions.checkNotNull(centre, "gradient-free estimator: the centre is null");
    }

    @Override
    public Estimate at(Point point) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor base = scope.keep(NoSteering.base(drift, point));
            if (centre == Centre.DRAWS && value.draws() == 1) {
                return new Estimate(base, scope.keep(Torch.zerosLike(base)), Optional.empty());
            }
            Tensor state = point.state();
            RunningMean weighted = new RunningMean(state);
            Tensor sum = Torch.zerosLike(weighted.mean());
            value.inChunks((first, count) -> {
                ValueFunction.Part part = value.part(point, first, count);
                Tensor samples = part.samples().to(DType.FLOAT64).reshape(point.rows(), count, -1);
                Tensor more = samples.sum(1);
                weighted.add(part.scores(), samples);
                sum.add_(more);
            });
            Tensor rest = point.clock().neg().add(1);
            Tensor middle = centre == Centre.DRAWS
                    ? sum.div(value.draws())
                    : state.add(base.mul(rest)).to(DType.FLOAT64).reshape(sum.shape());
            Tensor impossible = weighted.logSum().eq(Double.NEGATIVE_INFINITY).unsqueeze(1);
            Tensor correction = weighted.mean()
                    .sub(middle)
                    .div(rest.clampMin(LEAST_REST))
                    .maskedFill(impossible, 0)
                    .to(state.dtype())
                    .reshape(state.shape());
            Tensor estimate = weighted.logSum().sub(Math.log(value.draws()));
            return new Estimate(base, scope.keep(correction), Optional.of(scope.keep(estimate)));
        }
    }

    /** Counts as in the paper, including the single draw that is not made. */
    @Override
    public long evaluations(Condition condition) {
        return drift.evaluations(condition) + 2L * value.draws();
    }
}
