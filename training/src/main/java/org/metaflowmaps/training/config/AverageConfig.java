package org.metaflowmaps.training.config;

import com.fasterxml.jackson.annotation.JsonProperty;

/**
 * The moving average.
 *
 * @param decay weight of the old average at each step
 * @param start step from which to average
 */
public record AverageConfig(
        @JsonProperty("decay") double decay,
        @JsonProperty("start") long start) {
    /** Checks the ranges. */
    public AverageConfig {
        Check.require(decay >= 0 && decay < 1, "average.decay is %s, expected 0 to below 1", decay);
        Check.require(start >= 0, "average.start is %s, expected 0 or more", start);
    }
}
