package org.metaflowmaps.training.loss;

import org.metaflowmaps.runtime.Tensor;

/**
 * A loss, computed.
 *
 * @param loss what is differentiated: a scalar, the mean over items
 * @param error what is reported: a scalar without a gradient graph; of a regression, the mean over items of
 *     {@link Regression#squares}, times the item's weight
 */
public record LossValue(Tensor loss, Tensor error) {}
