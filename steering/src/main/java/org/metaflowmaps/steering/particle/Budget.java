package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;

/**
 * The most that a run may spend. Searches end where it is spent, with the best they have. Steered samplers and particle
 * filters would then have no samples, so they take fewer and longer steps instead: for evaluations from the beginning on,
 * for seconds as they measure their steps ({@link Pace}). Results within seconds depend on the machine's speed.
 *
 * @param evaluations per item, counted as in the paper (method §8.4), at least 1; never exceeded: a run whose least step
 *     exceeds them is refused
 * @param seconds of the whole call, above 0. A search begins no step after them; a sampler or filter takes one more, to
 *     the end. The first step is always taken. With finite seconds every step waits for the device
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

    /** Returns true if there is a limit of evaluations. */
    public boolean isCounted() {
        return evaluations < Long.MAX_VALUE;
    }

    /** Returns true if there is a limit of time. */
    public boolean isTimed() {
        return seconds < Double.POSITIVE_INFINITY;
    }
}
