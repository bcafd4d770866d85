package org.metaflowmaps.training.loss;

import org.metaflowmaps.runtime.Tensor;

/**
 * What a loss compares.
 *
 * @param prediction (B, ...), through which gradients flow
 * @param target (B, ...), a constant
 */
public record Regression(Tensor prediction, Tensor target) {}
