package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * Where a value function is asked: noisy states at one time.
 *
 * @param time t in [0, 1]
 * @param step of the sampler, from 0: it names the noise
 * @param state x_t: (rows, item shape), not owned
 * @param condition of the rows
 * @param noise gives the posterior draws their numbers
 * @param guard records scores that no reward may give; owned by the run
 */
public record Point(
        double time, int step, Tensor state, Condition condition, SteeringNoise noise, ScoreGuard guard) {
    /** Checks the time and the step. */
    public Point {
        Preconditions.checkArgument(time >= 0 && time <= 1, "steering: time is %s, expected 0 to 1", time);
        Preconditions.checkArgument(step >= 0, "steering: step is %s, expected 0 or more", step);
        Preconditions.checkNotNull(state, "steering: the state is null");
        Preconditions.checkNotNull(condition, "steering: the condition is null; for none, give Condition.none()");
        Preconditions.checkNotNull(noise, "steering: the noise is null");
        Preconditions.checkNotNull(guard, "steering: the score guard is null");
    }

    /** A point whose scores nobody looks at: a NaN shows in the results alone. */
    public Point(double time, int step, Tensor state, Condition condition, SteeringNoise noise) {
        this(time, step, state, condition, noise, ScoreGuard.NONE);
    }

    /** Returns the number of rows. */
    long rows() {
        return state.size(0);
    }

    /** t of each of some rows: (rows) of the state's type, in the innermost open scope. */
    Tensor times(long rows) {
        return Torch.full(time, state.dtype(), state.device(), rows);
    }
}
