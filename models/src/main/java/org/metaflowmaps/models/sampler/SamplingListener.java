package org.metaflowmaps.models.sampler;

/** Hears how far a sampler is, and may cancel it. It is called by the thread that samples; what it throws ends the sampling. */
public interface SamplingListener {
    /** Does nothing. */
    SamplingListener NONE = new SamplingListener() {};

    /**
     * Called after every step. Results on a GPU may still be on their way.
     *
     * @param done steps done, from 1 to {@code steps}
     * @param steps all steps
     */
    default void stepDone(int done, int steps) {}

    /** Asked before every step: true makes the sampler throw {@link java.util.concurrent.CancellationException}. */
    default boolean isCancelled() {
        return false;
    }
}
