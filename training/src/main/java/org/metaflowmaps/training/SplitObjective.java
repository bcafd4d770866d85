package org.metaflowmaps.training;

import java.util.List;

/**
 * An objective whose draws can be split by items, so that several threads compute a step together: each takes a part
 * and a {@linkplain #replica replica} with gradients of its own. Gradients are then added in the order of the parts, so
 * that results depend on the number of parts but not on the threads.
 *
 * @param <D> the result of {@link #draw}
 */
public interface SplitObjective<D> extends Objective<D> {
    /** Returns the number of items of a draw. */
    long items(D draw);

    /**
     * Returns a part of a draw.
     *
     * @param from the first item, from 0
     * @param to the end of the range, exclusive, above {@code from}
     */
    D slice(D draw, long from, long to);

    /**
     * Returns the losses of a part of a draw, each times the share that the part has of the loss's items, so that the
     * parts' losses add up to the whole's.
     *
     * @param part all of {@code whole}, or a slice
     * @return at least one, in the order of computation; some may be missing
     */
    List<Loss> losses(D part, D whole);

    @Override
    default List<Loss> losses(D draw) {
        return losses(draw, draw);
    }

    /**
     * Returns this objective with the same parameters and gradients of its own
     * ({@link org.metaflowmaps.runtime.ParameterArena#replica}). Only its losses and parameters are used.
     *
     * @return owned by the caller, who closes it before this objective
     */
    SplitObjective<D> replica();
}
