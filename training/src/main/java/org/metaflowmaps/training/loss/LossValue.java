package org.metaflowmaps.training.loss;

import org.metaflowmaps.runtime.Tensor;

/**
 * A computed loss.
 *
 * @param loss the value to differentiate: a scalar, the mean over items
 * @param error the value to report: a scalar without a gradient graph; for a regression the mean over items of
 *     {@link Regression#squares} times the item's weight
 */
public record LossValue(Tensor loss, Tensor error) {
    /** Returns both times a factor; 1 changes nothing. */
    public LossValue mul(double factor) {
        return factor == 1 ? this : new LossValue(loss.mul(factor), error.mul(factor));
    }
}
