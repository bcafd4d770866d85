package org.metaflowmaps.training;

import java.util.function.UnaryOperator;
import org.metaflowmaps.runtime.Tensor;

/**
 * An objective whose steps can be captured as CUDA graphs: its losses depend only on the tensors of a draw, on tensors that
 * stay at their addresses, such as weights, and on a phase.
 *
 * @param <D> the result of {@link #draw}
 */
public interface GraphObjective<D> extends Objective<D> {
    /**
     * Returns a draw with each tensor changed, in an order that depends on the draw's shape alone.
     *
     * @param change returns a tensor of the same shape and type for each
     */
    D map(D draw, UnaryOperator<Tensor> change);

    /**
     * Returns what the losses of a draw depend on besides its tensors, such as the stage of a schedule; compared by
     * {@code equals}. Draws of one phase run the same operations.
     */
    Object phase(D draw);
}
