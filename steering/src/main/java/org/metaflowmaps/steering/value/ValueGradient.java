package org.metaflowmaps.steering.value;

import java.util.Optional;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;

/** An estimator of the tilted law's drift b* = b + (σ²/2)·∇V (method §6.1), one of those in method §6.2. */
public interface ValueGradient {
    /**
     * The base drift and its correction at some states.
     *
     * @param base b_t(x): (rows, item shape)
     * @param correction an estimate of b* - b = (σ²/2)·∇V: (rows, item shape); no gradient graph
     * @param value V̂: (rows), float64, for display and for weights; empty if the estimator has none
     */
    record Estimate(Tensor base, Tensor correction, Optional<Tensor> value) {}

    /**
     * Estimates the drift of the tilted law. No gradient reaches the weights of map or reward.
     *
     * @param point where
     * @return tensors in the innermost open scope
     */
    Estimate at(Point point);

    /**
     * Returns the evaluations of one estimate per row, counted as in the paper (method §8.4): base drift, draws,
     * rewards, and backward passes doubled.
     */
    long evaluations(Condition condition);
}
