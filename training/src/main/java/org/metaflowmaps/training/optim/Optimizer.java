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
 * Updates an arena's values from its gradients; it owns its moments, flat buffers of the arena's layout. A step reads
 * nothing back: the learning rate, the skip flag and the number of updates are tensors.
 */
public sealed interface Optimizer extends AutoCloseable permits AdamW, RAdam {
    /** The counter of {@link #saved}. */
    String UPDATES = "updates";

    /**
     * Makes one update from the arena's gradients, or skips it: then values, moments and {@link #steps} do not change,
     * for any gradients.
     *
     * @param learningRate a float64 scalar of 0 or more, on the arena's device
     * @param skip a float32 scalar on the arena's device: 1 to skip, 0 to update
     */
    void step(Tensor learningRate, Tensor skip);

    /**
     * Makes one update from the arena's gradients.
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

    /** Returns the arena to update, not owned. */
    ParameterArena arena();

    /** Returns the number of updates; reads it from the device. */
    long steps();

    /** Continues from a number of updates after their moments were restored into {@link #moments}. */
    void resumeAt(long steps);

    /** Returns the buffers to save with a checkpoint, by name. */
    Map<String, Tensor> moments();

    /** Returns the moments and the number of updates for a checkpoint. */
    default Saved saved() {
        return new Saved(moments(), Map.of(UPDATES, steps()));
    }

    @Override
    void close();
}
