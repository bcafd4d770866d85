package org.metaflowmaps.training.loss;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;

/**
 * A prediction and its target.
 *
 * @param prediction (B, ...), through which gradients flow
 * @param target (B, ...), a constant
 * @param weights factors of the items' losses: (B); null for 1
 */
public record Regression(
        Tensor prediction, Tensor target, @Nullable Tensor weights) {
    /** Makes a regression with equal weights. */
    public Regression(Tensor prediction, Tensor target) {
        this(prediction, target, null);
    }

    /** Returns the squared error of each item, summed over its entries: (B), with the prediction's gradient graph. */
    public Tensor squares() {
        return prediction.sub(target).square().reshape(target.size(0), -1).sum(1);
    }

    /** {@link #squares} per entry of an item. */
    public Tensor perEntry(Tensor squares) {
        return squares.mul((double) target.size(0) / target.numel());
    }

    /** Returns the mean over items of a value times the item's weight. */
    public Tensor mean(Tensor perItem) {
        return (weights == null ? perItem : perItem.mul(weights)).mean();
    }

    /** Returns a loss with its reported error, which is the mean over items of the squares for every weighting. */
    LossValue value(Tensor loss, Tensor squares) {
        return new LossValue(loss, mean(squares.detach()));
    }
}
