package org.metaflowmaps.training.optim;

import com.google.common.base.Preconditions;

/**
 * A learning rate that rises linearly from a tenth, then stays constant.
 *
 * @param learningRate the final rate
 * @param steps the steps over which it rises; 0 for none
 */
public record WarmUp(double learningRate, long steps) {
    private static final double FIRST = 0.1;

    /** Checks the ranges. */
    public WarmUp {
        Preconditions.checkArgument(learningRate > 0, "learning rate is %s, expected more than 0", learningRate);
        Preconditions.checkArgument(steps >= 0, "warm-up is %s steps, expected 0 or more", steps);
    }

    /** Returns the rate of a step, counted from 0. */
    public double at(long step) {
        return step >= steps ? learningRate : learningRate * (FIRST + (1 - FIRST) * step / steps);
    }
}
