package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;

/**
 * The most that a search may spend. It is checked between steps, and the first step is always taken.
 *
 * @param evaluations per item, counted as in the paper (method §8.4), at least 1; no step is taken that would exceed them
 * @param seconds of the whole call, above 0; no step begins after them. With finite seconds every step waits for the
 *     device
 */
public record Budget(long evaluations, double seconds) {
    /** No limit. */
    public static final Budget NONE = new Budget(Long.MAX_VALUE, Double.POSITIVE_INFINITY);

    /** Checks the ranges. */
    public Budget {
        Preconditions.checkArgument(
                evaluations >= 1,
                "budget: %s evaluations, expected at least 1; for no limit, use Budget.NONE",
                evaluations);
        Preconditions.checkArgument(
                seconds > 0, "budget: %s seconds, expected more than 0; for no limit, use Budget.NONE", seconds);
    }

    /** Returns a limit of evaluations per item only. */
    public static Budget ofEvaluations(long evaluations) {
        return new Budget(evaluations, Double.POSITIVE_INFINITY);
    }

    /** Returns a limit of time only. */
    public static Budget ofSeconds(double seconds) {
        return new Budget(Long.MAX_VALUE, seconds);
    }

    boolean isTimed() {
        return seconds < Double.POSITIVE_INFINITY;
    }
}
