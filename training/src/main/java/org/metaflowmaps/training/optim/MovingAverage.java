package org.metaflowmaps.training.optim;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * An exponential moving average of an arena's values: p̄ ← decay·p̄ + (1 - decay)·p, a plain copy until {@code start}.
 */
public final class MovingAverage implements AutoCloseable {
    private final ParameterArena arena;
    private final double decay;
    private final long start;
    private final Tensor values;

    /**
     * Makes an average that starts at the arena's current values.
     *
     * @param decay 0 to 1, such as 0.9999
     * @param start the step from which to average
     */
    public MovingAverage(ParameterArena arena, double decay, long start) {
        Preconditions.checkArgument(
                decay >= 0 && decay < 1, "moving average: decay is %s, expected 0 to below 1", decay);
        this.arena = arena;
        this.decay = decay;
        this.start = start;
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            this.values = arena.values().clone().retain();
        }
    }

    /** Resets the average to the arena's current values. */
    public void restart() {
        try (Autograd.Mode off = Autograd.noGrad()) {
            values.copy_(arena.values());
        }
    }

    /** Returns the part of the new values in the average from {@code start} on. */
    double share() {
        return 1 - decay;
    }

    /** Returns the arena that is averaged. */
    ParameterArena arena() {
        return arena;
    }

    /** Returns true if the average is a plain copy of the values after a step, counted from 0. */
    public boolean copiesAt(long step) {
        return step < start;
    }

    /**
     * Updates the average with the arena's values after a step that may have been skipped.
     *
     * @param step from 0
     * @param skip a float32 scalar on the arena's device: 1 if the step was skipped and the average must not change;
     *     else 0
     */
    public void update(long step, Tensor skip) {
        if (copiesAt(step)) {
            // A skipped step has changed no value, so the copy is equal.
            restart();
            return;
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            values.lerp_(arena.values(), skip.neg().add(1).mul(1 - decay).to(values.dtype()));
        }
    }

    /** Updates the average with the arena's values after a step. */
    public void update(long step) {
        if (copiesAt(step)) {
            restart();
            return;
        }
        try (Autograd.Mode off = Autograd.noGrad()) {
            values.lerp_(arena.values(), 1 - decay);
        }
    }

    /**
     * Returns the averages, a flat buffer of the arena's layout, owned by this object. A network bound to it
     * ({@code MetaFlowMap.boundTo}) always has the averaged weights.
     */
    public Tensor values() {
        return values;
    }

    @Override
    public void close() {
        values.close();
    }
}
