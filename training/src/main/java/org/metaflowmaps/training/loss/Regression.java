package org.metaflowmaps.training.loss;

import org.metaflowmaps.runtime.Tensor;

/**
 * What a loss compares.
 *
 * @param prediction (B, ...), through which gradients flow
 * @param target (B, ...), a constant
 * @param factor of every squared error, before it is weighted
 */
public record Regression(Tensor prediction, Tensor target, double factor) {
    /** With a factor of 1. */
    public Regression(Tensor prediction, Tensor target) {
        this(prediction, target, 1);
    }
}
