package org.metaflowmaps.steering.value;

import java.util.Optional;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;

/** How the drift of the tilted law is estimated: b* = b + (σ²/2)·∇V (method §6.1), by one of the estimators of method §6.2. */
public interface ValueGradient {
    /**
     * The base drift and its correction at some states.
     *
     * @param base b_t(x): (rows, item shape)
     * @param correction an estimate of b* - b = (σ²/2)·∇V: (rows, item shape); no gradient graph
     * @param value V̂: (rows), float64, where the estimator has one; for display and for weights; empty otherwise
     */
    record Estimate(Tensor base, Tensor correction, Optional<Tensor> value) {}

    /**
     * Estimates the drift of the tilted law. No gradient reaches the weights of map or reward.
     *
     * @param point where
     * @return tensors in the innermost open scope
     */
    Estimate at(Point point);

    /** Returns the evaluations of one estimate for each row by the paper's counting (method §8.4): base drift, draws, rewards, and backward passes doubled. */
    long evaluations(Condition condition);
}
