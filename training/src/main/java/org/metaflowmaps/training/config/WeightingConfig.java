package org.metaflowmaps.training.config;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.metaflowmaps.training.loss.Weighting;

/**
 * A weighting.
 *
 * @param kind which
 * @param p exponent of the adaptive one
 * @param c floor of the adaptive and the learned logarithmic one
 */
public record WeightingConfig(
        @JsonProperty("kind") Kind kind,
        @JsonProperty("p") double p,
        @JsonProperty("c") double c) {
    /** Checks the ranges. */
    public WeightingConfig {
        Check.given(kind, "a weighting's kind");
        Check.require(p >= 0 && p <= 1, "a weighting's p is %s, expected 0 to 1", p);
        Check.require(c > 0 && c < Double.POSITIVE_INFINITY, "a weighting's c is %s, expected a number above 0", c);
    }

    /** The weightings by their names in a file. */
    public enum Kind {
        /** {@link Weighting.L2}. */
        @JsonProperty("l2")
        L2,
        /** {@link Weighting.LogVariance}. */
        @JsonProperty("lv")
        LV,
        /** {@link Weighting.Adaptive}. */
        @JsonProperty("adaptive")
        ADAPTIVE,
        /** {@link Weighting.Learned}. */
        @JsonProperty("learned")
        LEARNED,
        /** {@link Weighting.LearnedLogarithm}. */
        @JsonProperty("learned-log")
        LEARNED_LOG
    }
}
