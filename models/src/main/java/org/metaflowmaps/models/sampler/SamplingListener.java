package org.metaflowmaps.models.sampler;

/** Receives a sampler's progress, and may cancel it. Called on the sampling thread; an exception ends the sampling. */
public interface SamplingListener {
    /** Does nothing. */
    SamplingListener NONE = new SamplingListener() {};

    /**
     * Called after every step. A GPU may still be computing the results.
     *
     * @param done steps done, from 1 to {@code steps}
     * @param steps all steps
     */
    default void stepDone(int done, int steps) {}

    /**
     * Called before every step; if it returns true, the sampler throws
     * {@link java.util.concurrent.CancellationException}.
     */
    default boolean isCancelled() {
        return false;
    }
}
