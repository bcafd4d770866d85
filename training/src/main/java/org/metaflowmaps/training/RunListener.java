package org.metaflowmaps.training;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** Receives the progress of a run on the run's thread, and may end it. */
public interface RunListener {
    /**
     * Called when the run starts or continues.
     *
     * @param step steps taken before
     * @param steps the last step's number
     * @throws IOException to end the run
     */
    default void started(long step, long steps) throws IOException {}

    /** Returns true if this listener needs the numbers of a step, counted from 1. Reading them waits for the device. */
    default boolean reads(long step) {
        return false;
    }

    /**
     * Called after a step.
     *
     * @param step its number, from 1
     * @param report its numbers; null if they were not read
     * @throws IOException to end the run
     */
    default void stepped(long step, Trainer.@Nullable Report report) throws IOException {}

    /** Returns true to end the run with a checkpoint; called before each step. */
    default boolean cancelled() {
        return false;
    }

    /** Called when the run ends, also after a failure. */
    default void ended() {}

    /**
     * Returns a listener that calls others in order; after one fails, the rest are not called, except {@link #ended}.
     */
    static RunListener of(RunListener... listeners) {
        return new RunListeners(listeners);
    }
}
