package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import java.util.Arrays;

/**
 * A number estimated from samples.
 *
 * @param value the estimate
 * @param standardError its standard error; NaN if there are too few samples
 * @param count n, the number of samples
 */
public record Estimate(double value, double standardError, long count) {
    /**
     * Returns the mean of values.
     *
     * @param values at least one
     */
    public static Estimate mean(double... values) {
        Preconditions.checkArgument(values.length > 0, "estimate: no values, expected at least one");
        double mean = Arrays.stream(values).average().orElseThrow();
        double squares = Arrays.stream(values)
                .map(value -> (value - mean) * (value - mean))
                .sum();
        return new Estimate(mean, Math.sqrt(squares / (values.length - 1) / values.length), values.length);
    }

    /**
     * Returns an estimate with the jackknife's standard error, of groups of about equal size (Efron, 1982).
     *
     * @param value from all samples
     * @param without the same from all samples except those of one group, for each group; NaN error for fewer than two
     * @param count the number of samples
     */
    public static Estimate jackknife(double value, double[] without, long count) {
        int groups = without.length;
        double mean = Arrays.stream(without).average().orElse(Double.NaN);
        double squares = Arrays.stream(without)
                .map(other -> (other - mean) * (other - mean))
                .sum();
        return new Estimate(value, groups < 2 ? Double.NaN : Math.sqrt(squares * (groups - 1) / groups), count);
    }
}
