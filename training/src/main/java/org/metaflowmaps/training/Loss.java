package org.metaflowmaps.training;

import java.util.function.Supplier;
import org.metaflowmaps.training.loss.LossValue;

/**
 * A loss of a draw, computed on demand: a trainer differentiates each loss before it computes the next, so that only
 * one graph exists at a time.
 *
 * @param name the loss's name among the metrics, such as {@code diagonal}
 * @param compute computes it, in the innermost open scope
 */
public record Loss(String name, Supplier<LossValue> compute) {}
