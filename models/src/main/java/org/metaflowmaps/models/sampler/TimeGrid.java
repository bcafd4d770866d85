package org.metaflowmaps.models.sampler;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The increasing times of a sampler's steps, up to 1 (data); immutable. Most samplers need a grid from 0 (noise);
 * steered samplers start a little later, where the coefficient (1 - t)/t is finite.
 */
public final class TimeGrid {
    /** More steps are a mistake that would take long to notice. */
    private static final int MOST_STEPS = 1_000_000;

    private final double[] times;
    private final double[] lengths;

    private TimeGrid(double[] times, double[] lengths) {
        this.times = times;
        this.lengths = lengths;
    }

    /**
     * Returns steps of equal length.
     *
     * @param steps 1 to a million
     */
    public static TimeGrid uniform(int steps) {
        Preconditions.checkArgument(steps >= 1, "time grid: %s steps, expected at least 1", steps);
        Preconditions.checkArgument(steps <= MOST_STEPS, "time grid: %s steps, expected at most %s", steps, MOST_STEPS);
        double[] times = new double[steps + 1];
        double[] lengths = new double[steps];
        Arrays.setAll(times, i -> (double) i / steps);
        // Do not use differences of the times, because their last digits would differ.
        Arrays.fill(lengths, 1.0 / steps);
        return new TimeGrid(times, lengths);
    }

    /**
     * Returns steps between given times.
     *
     * @param times 0, any number of times in rising order, 1
     * @throws IllegalArgumentException if they do not increase from 0 to 1
     */
    public static TimeGrid of(double... times) {
        Preconditions.checkArgument(
                times.length >= 2 && times[0] == 0 && times[times.length - 1] == 1,
                "time grid: %s, expected times from 0 to 1, with both",
                Arrays.toString(times));
        return between(times.clone());
    }

    /**
     * Returns steps of equal length from a start, as {@code torch.linspace(start, 1, steps + 1)}: for steered samplers,
     * which start at 0.01 in the paper (method §7).
     *
     * @param start the first time, from 0 to below 1
     * @param steps 1 to a million
     */
    public static TimeGrid linspace(double start, int steps) {
        Preconditions.checkArgument(
                start >= 0 && start < 1, "time grid: the start is %s, expected 0 or more and below 1", start);
        TimeGrid whole = uniform(steps);
        if (start == 0) {
            return whole;
        }
        double[] times = new double[steps + 1];
        Arrays.setAll(times, i -> start + (1 - start) * whole.times[i]);
        times[steps] = 1;
        return between(times);
    }

    /**
     * Returns this grid with each time raised to a power: above 1 for more steps near noise, below 1 near data. The
     * paper's search uses {@code linspace(0.01, steps).power(2.5)} (method §8.2).
     *
     * @param exponent above 0, finite
     * @throws IllegalArgumentException if the exponent is out of range, or two times become equal
     */
    public TimeGrid power(double exponent) {
        Preconditions.checkArgument(
                exponent > 0 && Double.isFinite(exponent),
                "time grid: the exponent is %s, expected a finite number above 0",
                exponent);
        return exponent == 1
                ? this
                : between(Arrays.stream(times)
                        .map(time -> Math.pow(time, exponent))
                        .toArray());
    }

    /**
     * Returns the grid of fewer steps between times of this one, as evenly as their numbers allow; the first and the last
     * time stay.
     *
     * @param steps 1 to {@link #steps()}
     */
    public TimeGrid thinned(int steps) {
        Preconditions.checkArgument(
                steps >= 1 && steps <= steps(), "time grid: thinned to %s steps, expected 1 to %s", steps, steps());
        if (steps == steps()) {
            return this;
        }
        double[] fewer = new double[steps + 1];
        Arrays.setAll(fewer, i -> times[(int) ((long) i * steps() / steps)]);
        return between(fewer);
    }

    /** Checks that the times increase; does not copy the array. */
    private static TimeGrid between(double[] times) {
        double[] lengths = new double[times.length - 1];
        for (int i = 0; i < lengths.length; i++) {
            lengths[i] = times[i + 1] - times[i];
            Preconditions.checkArgument(
                    lengths[i] > 0,
                    "time grid: time %s follows time %s, expected rising times",
                    times[i + 1],
                    times[i]);
        }
        return new TimeGrid(times, lengths);
    }

    /**
     * Throws if a grid starts after pure noise, for samplers that start there: their samples would have another law.
     */
    static void requireNoiseFirst(TimeGrid grid, String what) {
        Preconditions.checkArgument(
                grid.time(0) == 0,
                "%s: the grid begins at time %s, expected 0, because this sampler starts from pure noise. Use "
                        + "TimeGrid.uniform, or TimeGrid.linspace with start 0; only steered samplers begin later",
                what,
                grid.time(0));
    }

    /** Returns the number of steps, at least 1. */
    public int steps() {
        return lengths.length;
    }

    /**
     * Returns the time at which a step begins; 1 after the last step.
     *
     * @param step from 0 to {@link #steps}
     */
    public double time(int step) {
        Preconditions.checkElementIndex(step, times.length, "time grid: step");
        return times[step];
    }

    /**
     * Returns the length of a step.
     *
     * @param step from 0 to below {@link #steps}
     */
    public double length(int step) {
        Preconditions.checkElementIndex(step, lengths.length, "time grid: step");
        return lengths[step];
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof TimeGrid grid && Arrays.equals(times, grid.times);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(times);
    }

    @Override
    public String toString() {
        return Arrays.toString(times);
    }
}
