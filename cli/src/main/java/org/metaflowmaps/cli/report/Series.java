package org.metaflowmaps.cli.report;

import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.IntStream;
import org.metaflowmaps.training.metrics.MetricsLog;

/**
 * A metric over a run's steps.
 *
 * @param steps ascending
 * @param values one for each step
 * @param errors their standard errors; NaN where none was written
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record Series(long[] steps, double[] values, double[] errors) {
    /** The ending of the name of a metric's standard error. */
    static final String ERROR = "_se";

    /** Returns a metric's finite values; empty if there are none. */
    static Series of(List<MetricsLog.Entry> log, String name) {
        List<MetricsLog.Entry> having = log.stream()
                .filter(entry -> Double.isFinite(entry.values().getOrDefault(name, Double.NaN)))
                .toList();
        return new Series(
                having.stream().mapToLong(MetricsLog.Entry::step).toArray(),
                values(having, name),
                values(having, name + ERROR));
    }

    private static double[] values(List<MetricsLog.Entry> log, String name) {
        return log.stream()
                .mapToDouble(entry -> entry.values().getOrDefault(name, Double.NaN))
                .toArray();
    }

    boolean isEmpty() {
        return steps.length == 0;
    }

    int length() {
        return steps.length;
    }

    /** Returns the index of the step; -1 if it has no value. */
    int indexOf(long step) {
        return Math.max(-1, Arrays.binarySearch(steps, step));
    }

    /** Returns the value at a step. */
    OptionalDouble at(long step) {
        int index = indexOf(step);
        return index < 0 ? OptionalDouble.empty() : OptionalDouble.of(values[index]);
    }

    /** Returns the index of the largest value, the first of several. */
    int largest() {
        return IntStream.range(0, values.length)
                .reduce((best, i) -> values[i] > values[best] ? i : best)
                .orElseThrow();
    }
}
