package org.metaflowmaps.steering.value;

import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Estimates the bias of a log-mean-exp from the scores of N independent draws, in float64. */
final class Jackknife {
    private Jackknife() {}

    /** Returns -CV²/2N from the sample variance of e^score: (rows, N) to (rows). */
    static Tensor bias(Tensor scores) {
        try (TensorScope scope = TensorScope.open()) {
            double count = scores.size(1);
            Tensor squares = scores.softmax(1).square().sum(1);
            return scope.keep(squares.mul(count).sub(1).mul(-0.5 / (count - 1)));
        }
    }

    /** Returns N·V̂_N - (N - 1)·mean of V̂_{N-1} without one draw: (rows, N) to (rows); V̂_N if that is not finite. */
    static Tensor value(Tensor scores) {
        try (TensorScope scope = TensorScope.open()) {
            double count = scores.size(1);
            Tensor value = ValueFunction.logMeanExp(scores);
            Tensor mean = withoutOne(scores).mean(1).sub(Math.log(count - 1));
            Tensor corrected = value.mul(count).sub(mean.mul(count - 1));
            return scope.keep(Torch.where(corrected.isFinite(), corrected, value));
        }
    }

    /** Returns the log-sum of all scores except one: (rows, N). */
    private static Tensor withoutOne(Tensor scores) {
        Tensor sum = scores.logsumexpKeepDim(1);
        Tensor share = scores.sub(sum).exp();
        // For the largest score 1 - share may cancel, so sum the rest; every other share is at most 1/2.
        Tensor place = scores.argmax(1).unsqueeze(1);
        Tensor largest =
                Torch.arange(scores.size(1), scores.device()).unsqueeze(0).eq(place);
        Tensor rest = scores.maskedFill(largest, Double.NEGATIVE_INFINITY).logsumexpKeepDim(1);
        return Torch.where(
                largest, rest.expand(scores.shape()), sum.add(share.neg().log1p()));
    }
}
