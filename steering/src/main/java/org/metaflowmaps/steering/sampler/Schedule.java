package org.metaflowmaps.steering.sampler;

import com.google.common.base.Preconditions;
import org.metaflowmaps.steering.value.ValueGradient;

/** Chooses the estimator of the drift for each step, for example estimators with different numbers of draws. */
@FunctionalInterface
public interface Schedule {
    /**
     * Returns the estimator of a step.
     *
     * @param step from 0
     * @param time the beginning of the step
     */
    ValueGradient at(int step, double time);

    /** Uses one estimator for all steps. */
    static Schedule always(ValueGradient estimator) {
        Preconditions.checkNotNull(estimator, "schedule: the estimator is null");
        return (step, time) -> estimator;
    }

    /**
     * Returns this schedule for steps that begin in an interval, and another estimator outside.
     *
     * @param from first time of the interval, 0 to {@code to}
     * @param to end of the interval, exclusive, at most 1
     * @param outside such as {@link org.metaflowmaps.steering.value.NoSteering}
     */
    default Schedule between(double from, double to, ValueGradient outside) {
        Preconditions.checkArgument(
                from >= 0 && from < to && to <= 1,
                "schedule: interval from %s to %s, expected 0 <= from < to <= 1",
                from,
                to);
        Preconditions.checkNotNull(outside, "schedule: the estimator outside the interval is null");
        return (step, time) -> time >= from && time < to ? at(step, time) : outside;
    }

    /**
     * Returns this schedule for every j-th step from the first, and another estimator between. Steps between do not
     * reuse the correction.
     *
     * @param period j, at least 1
     * @param between such as {@link org.metaflowmaps.steering.value.NoSteering}
     */
    default Schedule every(int period, ValueGradient between) {
        Preconditions.checkArgument(period >= 1, "schedule: period is %s steps, expected at least 1", period);
        Preconditions.checkNotNull(between, "schedule: the estimator between steered steps is null");
        return (step, time) -> step % period == 0 ? at(step, time) : between;
    }
}
