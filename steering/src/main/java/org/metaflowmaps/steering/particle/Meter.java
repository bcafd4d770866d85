package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import java.time.Duration;
import java.util.concurrent.CancellationException;
import java.util.function.LongSupplier;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.steering.value.SteeringNoise;

/** Counts what a search spends and decides whether it takes another step. */
final class Meter {
    private final String what;
    private final Budget budget;
    private final SamplingListener listener;
    private final LongSupplier clock;
    private final long begin;
    private long evaluations;
    private Spent.Ending ending = Spent.Ending.COMPLETE;

    /**
     * Begins to measure.
     *
     * @param clock nanoseconds from any origin
     */
    Meter(String what, Budget budget, SamplingListener listener, LongSupplier clock) {
        this.what = what;
        this.clock = clock;
        this.begin = clock.getAsLong();
        this.budget =
                Preconditions.checkNotNull(budget, "%s: the budget is null; for no limit, give Budget.NONE", what);
        this.listener = Preconditions.checkNotNull(listener, "%s: the listener is null", what);
    }

    /**
     * Returns true if another step of a cost may be taken, and counts it.
     *
     * @throws CancellationException if the listener cancels before the first step, because there is no result yet
     * @throws IllegalArgumentException if the first step exceeds the budget of evaluations
     */
    boolean take(long cost) {
        boolean isFirst = evaluations == 0;
        if (listener.isCancelled()) {
            if (isFirst) {
                throw new CancellationException(what + " was cancelled before its first step");
            }
            ending = Spent.Ending.CANCELLED;
            return false;
        }
        if (isFirst) {
            require(cost);
            return true;
        }
        if (cost > left() || isLate()) {
            ending = Spent.Ending.BUDGET;
            return false;
        }
        evaluations += cost;
        return true;
    }

    /** Counts the first step, after checking that the budget has its evaluations. */
    void require(long cost) {
        Preconditions.checkArgument(
                cost <= budget.evaluations(),
                "%s: the budget is %s evaluations, but the first step costs %s: raise the budget, or use fewer steps, "
                        + "particles or draws",
                what,
                budget.evaluations(),
                cost);
        evaluations += cost;
    }

    /** Returns the evaluations that the budget has left. */
    long left() {
        return budget.evaluations() - evaluations;
    }

    boolean isLate() {
        return budget.isTimed() && (clock.getAsLong() - begin) * 1e-9 >= budget.seconds();
    }

    /** Counts evaluations that {@link #take} did not. */
    void add(long more) {
        evaluations += more;
    }

    void end(Spent.Ending reason) {
        ending = reason;
    }

    Spent spent() {
        return new Spent(evaluations, Duration.ofNanos(clock.getAsLong() - begin), ending);
    }

    /**
     * Returns the number of items of a noise, after checking that it has the particles and the condition the items.
     *
     * @param start the noise's states: (rows, item shape)
     */
    static long items(String what, SteeringNoise noise, Tensor start, int particles, Condition condition) {
        long items = noise.uniform(SteeringNoise.Use.RESAMPLING, 0).numel();
        Preconditions.checkArgument(
                start.size(0) == items * particles,
                "%s: the noise has %s rows for %s items, expected %s for each item",
                what,
                start.size(0),
                items,
                particles);
        condition
                .labels()
                .ifPresent(labels -> Preconditions.checkArgument(
                        labels.numel() == items,
                        "%s: %s labels for %s items, expected one for each item, not for each particle",
                        what,
                        labels.numel(),
                        items));
        return items;
    }
}
