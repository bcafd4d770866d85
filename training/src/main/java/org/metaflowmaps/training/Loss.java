package org.metaflowmaps.training;

import java.util.function.Supplier;
import org.metaflowmaps.training.loss.LossValue;

/**
 * A loss of a draw, computed when it is asked for: a trainer differentiates each before it computes the next, so that two graphs never
 * live at once.
 *
 * @param name among the metrics, such as {@code diagonal}
 * @param compute computes it, in the innermost open scope
 */
public record Loss(String name, Supplier<LossValue> compute) {}
