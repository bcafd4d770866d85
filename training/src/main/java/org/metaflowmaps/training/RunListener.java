package org.metaflowmaps.training;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** Receives the progress of a run on the run's thread, and may end it. */
public interface RunListener {
    /**
     * The run begins or continues.
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
     * A step is over.
     *
     * @param step its number, from 1
     * @param report its numbers; null if nobody asked for them
     * @throws IOException to end the run
     */
    default void stepped(long step, Trainer.@Nullable Report report) throws IOException {}

    /** Returns true to end the run after the step it is in, with a checkpoint; asked before each step. */
    default boolean cancelled() {
        return false;
    }

    /** The run is over, whether it ended well or not. */
    default void ended() {}

    /** A listener that passes everything on to others, in their order; the first that fails is the last that is told, but all hear of the end. */
    static RunListener of(RunListener... listeners) {
        return new RunListeners(listeners);
    }
}
