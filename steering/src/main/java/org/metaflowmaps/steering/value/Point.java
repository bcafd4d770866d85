package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * The argument of a value function: noisy states at one time.
 *
 * @param time t in [0, 1]
 * @param step the sampler's step, from 0; part of the noise's address
 * @param state x_t: (rows, item shape), not owned
 * @param condition of the rows
 * @param noise random numbers of the posterior draws
 * @param guard records invalid scores; owned by the run
 */
public record Point(double time, int step, Tensor state, Condition condition, SteeringNoise noise, ScoreGuard guard) {
    /** Checks the time and the step. */
    public Point {
        Preconditions.checkArgument(time >= 0 && time <= 1, "steering: time is %s, expected 0 to 1", time);
        Preconditions.checkArgument(step >= 0, "steering: step is %s, expected 0 or more", step);
        Preconditions.checkNotNull(state, "steering: the state is null");
        Preconditions.checkNotNull(condition, "steering: the condition is null; for none, give Condition.none()");
        Preconditions.checkNotNull(noise, "steering: the noise is null");
        Preconditions.checkNotNull(guard, "steering: the score guard is null");
    }

    /** Makes a point without a check of scores: a NaN appears only in the results. */
    public Point(double time, int step, Tensor state, Condition condition, SteeringNoise noise) {
        this(time, step, state, condition, noise, ScoreGuard.NONE);
    }

    /** Returns the number of rows. */
    long rows() {
        return state.size(0);
    }

    /** Returns t for a number of rows: (rows) of the state's type, in the innermost open scope. */
    Tensor times(long rows) {
        return Torch.full(time, state.dtype(), state.device(), rows);
    }
}
