package org.metaflowmaps.cli.bench;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * One measured case.
 *
 * @param group what it belongs to, such as {@code train}
 * @param name of the case
 * @param values by name, with units in the names; in order
 */
public record BenchResult(String group, String name, Map<String, Double> values) {
    /** Starts a result with its times. */
    static BenchResult of(String group, String name, BenchTime time) {
        Map<String, Double> values = new LinkedHashMap<>();
        values.put("milliseconds", 1e3 * time.median());
        values.put("least_milliseconds", 1e3 * time.least());
        values.put("host_milliseconds", 1e3 * time.host());
        if (time.peak() > 0) {
            values.put("peak_device_gibibytes", time.peak() / 0x1p30);
        }
        return new BenchResult(group, name, values);
    }

    /** Adds a value. */
    BenchResult with(String name, double value) {
        values.put(name, value);
        return this;
    }

    /**
     * Adds the rate of floating point operations, and its share of the ceiling.
     *
     * @param operations of the work
     * @param ceiling operations per second of the largest matrix product of this run
     */
    BenchResult work(BenchTime time, double operations, double ceiling) {
        double rate = operations / time.median();
        return with("tflops_per_second", 1e-12 * rate).with("share_of_ceiling", rate / ceiling);
    }
}
