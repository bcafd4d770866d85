package org.metaflowmaps.training;

import java.util.List;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.training.checkpoint.Saved;
import org.metaflowmaps.training.data.TrainingData;

/**
 * Parameters to train and their losses. Gradients of all losses are added in the parameters' arenas.
 *
 * <p>A step draws first and then computes: {@link #draw} makes all random numbers of a part of a step. The losses of
 * that draw make no random numbers, read nothing back to the host and do not branch on values.
 *
 * @param <D> the result of {@link #draw}
 */
public interface Objective<D> extends AutoCloseable {
    /**
     * Draws all random numbers of a batch's losses.
     *
     * @param batch of the training data, not kept
     * @param step steps taken before, from 0; schedules depend on it
     * @return in the innermost open scope
     */
    D draw(TrainingData.Batch batch, long step);

    /**
     * Returns the losses of a draw.
     *
     * @return at least one, in the order of computation; always with the same names, but some may be missing
     */
    List<Loss> losses(D draw);

    /** Returns the trained parameters, the network's first; always the same, not to be closed by the caller. */
    List<ParameterArena> parameters();

    /**
     * Returns the parameters of all networks that losses evaluate and that steps change: the trained ones, and moving
     * averages of them. In bfloat16 each step converts them once ({@link ParameterArena#narrow}).
     */
    default List<ParameterArena> evaluated() {
        return parameters();
    }

    /**
     * Returns the sources of the draws: their state is saved with a checkpoint, and restored if a step's data cannot be
     * read.
     */
    default List<RandomSource> randomSources() {
        return List.of();
    }

    /** Returns additional state for a checkpoint, besides the parameters and the sources of the draws. */
    default Saved saved() {
        return Saved.NOTHING;
    }

    /**
     * Called at the end of a step: its losses were differentiated, and its update was made or skipped. Update state
     * such as running means here, not in the losses, because an interrupted step is repeated. Reads nothing back to the
     * host.
     *
     * @param step the step, from 0
     */
    default void stepped(long step) {}

    /** Closes the tensors of this objective. */
    @Override
    void close();
}
