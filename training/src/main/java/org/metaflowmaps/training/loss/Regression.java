package org.metaflowmaps.training.loss;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;

/**
 * What a loss compares.
 *
 * @param prediction (B, ...), through which gradients flow
 * @param target (B, ...), a constant
 * @param weights what each item's loss is multiplied by: (B); null for 1
 */
public record Regression(
        Tensor prediction, Tensor target, @Nullable Tensor weights) {
    /** Items that all count alike. */
    public Regression(Tensor prediction, Tensor target) {
        this(prediction, target, null);
    }

    /** The squared error of each item, summed over its entries: (B), with the prediction's gradient graph. */
    public Tensor squares() {
        return prediction.sub(target).square().reshape(target.size(0), -1).sum(1);
    }

    /** {@link #squares} per entry of an item. */
    public Tensor perEntry(Tensor squares) {
        return squares.mul((double) target.size(0) / target.numel());
    }

    /** The mean over items of a number of each, times the item's weight. */
    public Tensor mean(Tensor perItem) {
        return (weights == null ? perItem : perItem.mul(weights)).mean();
    }

    /** A loss beside the error that is reported, which is the mean over items of the squares, whatever the weighting. */
    LossValue value(Tensor loss, Tensor squares) {
        return new LossValue(loss, mean(squares.detach()));
    }
}
