package org.metaflowmaps.steering.value;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The mean of values over draws weighted by e^score, chunk by chunk: L' = logaddexp(L, L_c) and m' = e^{L - L'}·m +
 * e^{L_c - L'}·m_c, so e^score is never computed and any split gives the same result. In float64, in place; its tensors
 * belong to the scope that was innermost when it was made.
 */
final class RunningMean {
    private final Tensor logSum;
    private final Tensor mean;

    /** Starts with log-sum negative infinity and mean 0. */
    RunningMean(Tensor state) {
        long rows = state.size(0);
        logSum = Torch.full(Double.NEGATIVE_INFINITY, DType.FLOAT64, state.device(), rows);
        mean = Torch.zeros(DType.FLOAT64, state.device(), rows, state.numel() / rows);
    }

    /**
     * Adds a chunk.
     *
     * @param scores (rows, count), float64; a draw of negative infinity has no weight
     * @param values (rows · count, item shape), finite
     */
    void add(Tensor scores, Tensor values) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor total = Torch.stack(1, logSum, scores.logsumexp(1)).logsumexp(1);
            // -∞ - (-∞) would be NaN.
            Tensor shift = total.maskedFill(total.eq(Double.NEGATIVE_INFINITY), 0);
            Tensor before = logSum.sub(shift).exp().unsqueeze(1);
            Tensor weights = scores.sub(shift.unsqueeze(1)).exp().unsqueeze(1);
            Tensor all = values.to(DType.FLOAT64).reshape(scores.size(0), scores.size(1), -1);
            Tensor more = weights.matmul(all).squeeze(1);
            // Nothing below allocates, so a chunk is added completely or not at all.
            mean.mul_(before).add_(more);
            logSum.copy_(total);
        }
    }

    /** Returns log Σ e^score: (rows). */
    Tensor logSum() {
        return logSum;
    }

    /** Returns the weighted mean, 0 if every score was negative infinity: (rows, features). */
    Tensor mean() {
        return mean;
    }
}
