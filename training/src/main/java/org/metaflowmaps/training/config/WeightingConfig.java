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

    /** Returns a builder with the default of every setting, as defaults.yaml has them. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder with these settings. */
    public Builder toBuilder() {
        return new Builder().kind(kind).p(p).c(c);
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

    /** A builder, with defaults for all settings. */
    public static final class Builder {
        private Kind kind = Kind.L2;
        private double p = 1;
        private double c = 0.01;

        private Builder() {}

        /** Sets which weighting. */
        public Builder kind(Kind kind) {
            this.kind = kind;
            return this;
        }

        /** Sets the exponent of the adaptive one, from 0 to 1. */
        public Builder p(double p) {
            this.p = p;
            return this;
        }

        /** Sets the floor of the adaptive and the learned logarithmic one. */
        public Builder c(double c) {
            this.c = c;
            return this;
        }

        /**
         * Returns the configuration.
         *
         * @throws IllegalArgumentException if a value is out of range
         */
        public WeightingConfig build() {
            return new WeightingConfig(kind, p, c);
        }
    }
}
