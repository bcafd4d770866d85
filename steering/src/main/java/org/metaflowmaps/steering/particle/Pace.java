package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import java.util.function.LongSupplier;
import org.metaflowmaps.models.sampler.TimeGrid;

/**
 * Takes the steps of a grid, longer ones where a budget of time needs it, so that a run always reaches the grid's last
 * time. Each step's duration is expected to be the mean of the last one's and of the expectation before. The first two
 * steps keep their lengths while there is time, because the first one also pays for warming up. Once the time is over, one
 * step goes to the end: so a run of two steps or more takes at least two, and is late by at most two.
 *
 * <p>The budget's evaluations are not used here: a run with fewer steps for them has another grid
 * ({@link TimeGrid#thinned}).
 *
 * <p>Thread safety: one thread, like the run that owns it.
 */
public final class Pace {
    /** Steps that keep their length while there is time. */
    private static final int MEASURED = 2;

    private final TimeGrid grid;
    private final double seconds;
    private final LongSupplier clock;
    private final long begin;
    private long last;
    private double expected;
    private int index;
    private int taken;

    /**
     * A step of a run.
     *
     * @param number of steps before
     * @param time at which it begins
     * @param end the time at which it ends
     * @param length their difference
     * @param planned steps of the whole run, as planned now
     */
    public record Step(int number, double time, double end, double length, int planned) {
        /** Returns true if the run is done after this step. */
        public boolean isLast() {
            return end == 1;
        }
    }

    /**
     * Begins to measure.
     *
     * @param grid the most steps
     * @param budget has the seconds
     * @param clock nanoseconds from any origin, such as {@code System::nanoTime}
     */
    public Pace(TimeGrid grid, Budget budget, LongSupplier clock) {
        this.grid = Preconditions.checkNotNull(grid, "pace: the grid is null");
        this.seconds = Preconditions.checkNotNull(budget, "pace: the budget is null; for no limit, give Budget.NONE")
                .seconds();
        this.clock = Preconditions.checkNotNull(clock, "pace: the clock is null; give System::nanoTime");
        this.begin = clock.getAsLong();
        this.last = begin;
    }

    /** Returns true if steps should wait for the device, because durations are measured. */
    public boolean isTimed() {
        return seconds < Double.POSITIVE_INFINITY;
    }

    /** Returns true after the last step. */
    public boolean isDone() {
        return index == grid.steps();
    }

    /** Returns the number of steps taken. */
    public int taken() {
        return taken;
    }

    /**
     * Returns the next step, which counts as taken from now on.
     *
     * @throws IllegalStateException after the last step
     */
    public Step next() {
        Preconditions.checkState(!isDone(), "pace: all steps are taken");
        measure();
        int left = grid.steps() - index;
        int stride = Math.ceilDiv(left, fitting(left));
        int from = index;
        int planned = taken + Math.ceilDiv(left, stride);
        index = Math.min(from + stride, grid.steps());
        double time = grid.time(from);
        // A step of the grid keeps the grid's length to the last digit.
        double length = stride == 1 ? grid.length(from) : grid.time(index) - time;
        return new Step(taken++, time, grid.time(index), length, planned);
    }

    private void measure() {
        long now = clock.getAsLong();
        double duration = (now - last) * 1e-9;
        if (taken == 1) {
            expected = duration;
        } else if (taken == MEASURED) {
            expected = Math.min(expected, duration);
        } else if (taken > MEASURED) {
            expected = (expected + duration) / 2;
        }
        last = now;
    }

    /** Returns how many of the steps left there is time for, at least 1. */
    private int fitting(int left) {
        double rest = seconds - (last - begin) * 1e-9;
        if (!isTimed() || taken == 0 || (taken < MEASURED && rest > 0)) {
            return left;
        }
        return rest <= 0 ? 1 : (int) Math.clamp(rest / expected, 1, left);
    }
}
