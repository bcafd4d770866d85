package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The argument of a value function: noisy states at one time.
 *
 * <p>Thread safety: one thread at a time.
 */
public final class Point {
    private final double time;
    private final int step;
    private final Tensor state;
    private final Condition condition;
    private final SteeringNoise noise;
    private final ScoreGuard guard;
    /** t as an input of a graph; null to make it from the number. */
    private final @Nullable Tensor clock;

    private boolean isRead;

    /**
     * Makes a point.
     *
     * @param time t in [0, 1]
     * @param step the sampler's step, from 0; part of the noise's address
     * @param state x_t: (rows, item shape), not owned
     * @param condition of the rows
     * @param noise random numbers of the posterior draws
     * @param guard records invalid scores; owned by the run
     * @throws IllegalArgumentException if the time or the step is out of range
     */
    public Point(double time, int step, Tensor state, Condition condition, SteeringNoise noise, ScoreGuard guard) {
        this(time, step, state, condition, noise, guard, null);
    }

    /** Makes a point without a check of scores: a NaN appears only in the results. */
    public Point(double time, int step, Tensor state, Condition condition, SteeringNoise noise) {
        this(time, step, state, condition, noise, ScoreGuard.NONE);
    }

    /** Makes a point whose time is also a tensor: () float64, not owned. */
    Point(
            double time,
            int step,
            Tensor state,
            Condition condition,
            SteeringNoise noise,
            ScoreGuard guard,
            @Nullable Tensor clock) {
        Preconditions.checkArgument(time >= 0 && time <= 1, "steering: time is %s, expected 0 to 1", time);
        Preconditions.checkArgument(step >= 0, "steering: step is %s, expected 0 or more", step);
        this.time = time;
        this.step = step;
        this.state = Preconditions.checkNotNull(state, "steering: the state is null");
        this.condition = Preconditions.checkNotNull(
                condition, "steering: the condition is null; for none, give Condition.none()");
        this.noise = Preconditions.checkNotNull(noise, "steering: the noise is null");
        this.guard = Preconditions.checkNotNull(guard, "steering: the score guard is null");
        this.clock = clock;
    }

    /** Returns t. */
    public double time() {
        isRead = true;
        return time;
    }

    /** Returns the sampler's step, from 0. */
    public int step() {
        isRead = true;
        return step;
    }

    /** Returns x_t: (rows, item shape), not owned. */
    public Tensor state() {
        return state;
    }

    /** Returns the condition of the rows. */
    public Condition condition() {
        return condition;
    }

    /** Returns the random numbers of the posterior draws. */
    public SteeringNoise noise() {
        isRead = true;
        return noise;
    }

    /** Returns what records invalid scores, owned by the run. */
    public ScoreGuard guard() {
        return guard;
    }

    /**
     * Returns true if the time, the step or the noise, whose address has the step, was asked for: a graph of what was
     * done with them is only for this step.
     */
    boolean isRead() {
        return isRead;
    }

    /** Returns the number of rows. */
    long rows() {
        return state.size(0);
    }

    /** Returns t: () float64 on the states' device, in the innermost open scope. */
    Tensor clock() {
        return clock == null ? Torch.full(time, DType.FLOAT64, state.device()) : clock.detach();
    }

    /** Returns t for a number of rows: (rows) of the state's type, in the innermost open scope. */
    Tensor times(long rows) {
        if (clock == null) {
            return Torch.full(time, state.dtype(), state.device(), rows);
        }
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(clock.to(state.dtype()).expand(rows).contiguous());
        }
    }

    /** Returns noise of this step: (rows, draws, item shape), in the innermost open scope. */
    Tensor normal(SteeringNoise.Use use, int first, int draws) {
        return noise.normal(use, step, first, draws);
    }

    /** Records a reward's bad scores of the rows, (rows) or (rows, draws), in the guard. */
    void record(ScoreGuard.Source source, Tensor scores) {
        guard.record(source, step, noise, scores);
    }
}
