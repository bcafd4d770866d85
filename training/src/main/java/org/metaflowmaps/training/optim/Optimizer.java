package org.metaflowmaps.training.optim;

import java.util.Map;
import org.metaflowmaps.runtime.Tensor;

/** A rule that changes an arena's values by its gradients; its moments are flat buffers of the arena's layout, owned by it. */
public sealed interface Optimizer extends AutoCloseable permits AdamW, RAdam {
    /**
     * One update from the gradients that are in the arena.
     *
     * @param learningRate above 0
     */
    void step(double learningRate);

    /** Number of steps taken. */
    long steps();

    /** Goes on from a number of steps whose moments were restored into {@link #moments}. */
    void resumeAt(long steps);

    /** The buffers to save with a checkpoint, by name. */
    Map<String, Tensor> moments();

    @Override
    void close();
}
