package org.metaflowmaps.training;

import java.util.List;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.training.checkpoint.Saved;
import org.metaflowmaps.training.data.TrainingData;

/**
 * What is trained, and by which losses. Their gradients add up in the parameters' arenas.
 *
 * <p>A step draws first and then computes: {@link #draw} makes all random numbers of a part of a step, and the losses of that draw make
 * none, read nothing back to the host and decide nothing by values.
 *
 * @param <D> what {@link #draw} makes
 */
public interface Objective<D> extends AutoCloseable {
    /**
     * Draws all that is random in a batch's losses.
     *
     * @param batch of the training data, not kept
     * @param step steps taken before, from 0; schedules depend on it
     * @return in the innermost open scope
     */
    D draw(TrainingData.Batch batch, long step);

    /**
     * The losses of a draw.
     *
     * @return at least one, in the order in which they are to be computed; always with the same names, but some may be left out
     */
    List<Loss> losses(D draw);

    /** What is trained by all losses, the network's parameters first; not the caller's to close, always the same. */
    List<ParameterArena> parameters();

    /** The sources of the draws: their state is restored when the data of a step cannot be read, and saved with a checkpoint. */
    default List<RandomSource> randomSources() {
        return List.of();
    }

    /** What else a checkpoint has to save, beside the parameters and the sources of the draws. */
    default Saved saved() {
        return Saved.NOTHING;
    }

    /**
     * A step is over: its losses were differentiated, and its update was made or skipped. What follows from the losses of a step, such as
     * a running mean, changes here, so that a step that could not be finished leaves no trace. Reads nothing back to the host.
     *
     * @param step the step, from 0
     */
    default void stepped(long step) {}

    /** Closes what this objective owns. */
    @Override
    void close();
}
