package org.metaflowmaps.training.optim;

import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.checkpoint.Saved;

/**
 * A rule that changes an arena's values by its gradients; its moments are flat buffers of the arena's layout, owned by it. A step reads
 * nothing back: the learning rate, the skip flag and the number of updates are tensors.
 */
public sealed interface Optimizer extends AutoCloseable permits AdamW, RAdam {
    /** The counter of {@link #saved}. */
    String UPDATES = "updates";

    /**
     * One update from the gradients that are in the arena, or none: a skipped one leaves values, moments and {@link #steps} as they are,
     * whatever the gradients hold.
     *
     * @param learningRate a float64 scalar of 0 or more, on the arena's device
     * @param skip a float32 scalar on the arena's device: 1 to skip, 0 to update
     */
    void step(Tensor learningRate, Tensor skip);

    /**
     * One update from the gradients that are in the arena.
     *
     * @param learningRate above 0
     */
    default void step(double learningRate) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            step(
                    Torch.full(learningRate, DType.FLOAT64, arena().values().device()),
                    Torch.zeros(DType.FLOAT32, arena().values().device()));
        }
    }

    /** What is changed, not owned. */
    ParameterArena arena();

    /** Number of updates taken; reads it from the device. */
    long steps();

    /** Continues from a number of updates whose moments were restored into {@link #moments}. */
    void resumeAt(long steps);

    /** The buffers to save with a checkpoint, by name. */
    Map<String, Tensor> moments();

    /** The moments and the number of updates, as a checkpoint saves them. */
    default Saved saved() {
        return new Saved(moments(), Map.of(UPDATES, steps()));
    }

    @Override
    void close();
}
