package org.metaflowmaps.steering.metric;

import java.util.Arrays;

/** The standard deviation with divisor N. */
final class Deviation {
    private Deviation() {}

    static double of(double... values) {
        double mean = Arrays.stream(values).average().orElse(Double.NaN);
        return Math.sqrt(Arrays.stream(values)
                .map(value -> (value - mean) * (value - mean))
                .average()
                .orElse(Double.NaN));
    }
}
