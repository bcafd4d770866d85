package org.metaflowmaps.training.config;

import com.fasterxml.jackson.annotation.JsonProperty;

/**
 * The laws of times (method §4.1): the context's is U^power, but 0 with probability atom.
 *
 * @param contextPower 1 for uniform; larger favours noisy contexts
 * @param contextAtom share of contexts at t = 0, which have no information
 * @param contextWarmUp steps over which context times grow from 0 to their law
 * @param diagonal law of s on the diagonal
 * @param pair law of (s, u)
 * @param intervalWarmUp steps over which jumps grow from 0 to their length, around their midpoint
 */
public record TimesConfig(
        @JsonProperty("context_power") double contextPower,
        @JsonProperty("context_atom") double contextAtom,
        @JsonProperty("context_warm_up") long contextWarmUp,
        @JsonProperty("diagonal") Law diagonal,
        @JsonProperty("pair") Law pair,
        @JsonProperty("interval_warm_up") long intervalWarmUp) {
    /** Checks the ranges. */
    public TimesConfig {
        Check.given(diagonal, "times.diagonal");
        Check.given(pair, "times.pair");
        Check.require(
                contextPower > 0 && contextPower < Double.POSITIVE_INFINITY,
                "times.context_power is %s, expected a number above 0",
                contextPower);
        Check.require(contextAtom >= 0 && contextAtom <= 1, "times.context_atom is %s, expected 0 to 1", contextAtom);
        Check.require(contextWarmUp >= 0, "times.context_warm_up is %s, expected 0 or more", contextWarmUp);
        Check.require(intervalWarmUp >= 0, "times.interval_warm_up is %s, expected 0 or more", intervalWarmUp);
        Check.require(
                intervalWarmUp == 0 || pair.kind() != LawKind.DYADIC,
                "times.interval_warm_up is %s, expected 0 with times.pair.kind dyadic: jumps that grow leave the grid",
                intervalWarmUp);
        Check.require(
                diagonal.kind() != LawKind.DYADIC, "times.diagonal.kind is %s, which is a law of pairs", "dyadic");
    }

    /** Returns a builder with the default of every setting, as defaults.yaml has them. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder with these settings. */
    public Builder toBuilder() {
        return new Builder()
                .contextPower(contextPower)
                .contextAtom(contextAtom)
                .contextWarmUp(contextWarmUp)
                .diagonal(diagonal)
                .pair(pair)
                .intervalWarmUp(intervalWarmUp);
    }

    /** Laws of times by their names in a file. */
    public enum LawKind {
        /** Uniform in [0, 1). */
        @JsonProperty("uniform")
        UNIFORM,
        /** The logistic function of a normal number. */
        @JsonProperty("logit-normal")
        LOGIT_NORMAL,
        /** Points of a dyadic grid; for pairs only. */
        @JsonProperty("dyadic")
        DYADIC
    }

    /**
     * A law of one time, or of two that are then sorted.
     *
     * @param kind which
     * @param mean of the normal number, with data at time 1
     * @param secondMean the same for the second time of a pair
     * @param std of the normal numbers
     * @param levels a dyadic grid has 2^levels intervals; jumps are 2^k of them, k from 1
     */
    public record Law(
            @JsonProperty("kind") LawKind kind,
            @JsonProperty("mean") double mean,
            @JsonProperty("second_mean") double secondMean,
            @JsonProperty("std") double std,
            @JsonProperty("levels") int levels) {
        /** Checks the ranges. */
        public Law {
            Check.given(kind, "a time law's kind");
            Check.require(
                    std > 0 && std < Double.POSITIVE_INFINITY,
                    "a time law's std is %s, expected a number above 0",
                    std);
            Check.require(Double.isFinite(mean), "a time law's mean is %s, expected a finite number", mean);
            Check.require(
                    Double.isFinite(secondMean),
                    "a time law's second_mean is %s, expected a finite number",
                    secondMean);
            Check.require(levels >= 1 && levels <= 20, "a time law's levels are %s, expected 1 to 20", levels);
        }

        /** Returns a builder with the default of every setting, as defaults.yaml has them. */
        public static Builder builder() {
            return new Builder();
        }

        /** Returns a builder with these settings. */
        public Builder toBuilder() {
            return new Builder()
                    .kind(kind)
                    .mean(mean)
                    .secondMean(secondMean)
                    .std(std)
                    .levels(levels);
        }

        /** A builder, with defaults for all settings. */
        public static final class Builder {
            private LawKind kind = LawKind.UNIFORM;
            private double mean;
            private double secondMean;
            private double std = 1;
            private int levels = 7;

            private Builder() {}

            /** Sets which law. */
            public Builder kind(LawKind kind) {
                this.kind = kind;
                return this;
            }

            /** Sets the mean of the normal number. */
            public Builder mean(double mean) {
                this.mean = mean;
                return this;
            }

            /** Sets the mean for the second time of a pair. */
            public Builder secondMean(double secondMean) {
                this.secondMean = secondMean;
                return this;
            }

            /** Sets the standard deviation of the normal numbers. */
            public Builder std(double std) {
                this.std = std;
                return this;
            }

            /** Sets the levels of a dyadic grid: it has 2^levels intervals. */
            public Builder levels(int levels) {
                this.levels = levels;
                return this;
            }

            /**
             * Returns the configuration.
             *
             * @throws IllegalArgumentException if a value is out of range
             */
            public Law build() {
                return new Law(kind, mean, secondMean, std, levels);
            }
        }
    }

    /** A builder, with defaults for all settings. */
    public static final class Builder {
        private double contextPower = 2;
        private double contextAtom = 0.1;
        private long contextWarmUp;
        private Law diagonal = Law.builder().build();
        private Law pair = Law.builder().build();
        private long intervalWarmUp;

        private Builder() {}

        /** Sets the power of the law of context times. */
        public Builder contextPower(double contextPower) {
            this.contextPower = contextPower;
            return this;
        }

        /** Sets the share of contexts at t = 0. */
        public Builder contextAtom(double contextAtom) {
            this.contextAtom = contextAtom;
            return this;
        }

        /** Sets the steps over which context times grow from 0 to their law. */
        public Builder contextWarmUp(long contextWarmUp) {
            this.contextWarmUp = contextWarmUp;
            return this;
        }

        /** Sets the law of s on the diagonal. */
        public Builder diagonal(Law diagonal) {
            this.diagonal = diagonal;
            return this;
        }

        /** Sets the law of (s, u). */
        public Builder pair(Law pair) {
            this.pair = pair;
            return this;
        }

        /** Sets the steps over which jumps grow from 0 to their length. */
        public Builder intervalWarmUp(long intervalWarmUp) {
            this.intervalWarmUp = intervalWarmUp;
            return this;
        }

        /**
         * Returns the configuration.
         *
         * @throws IllegalArgumentException if a value is out of range, or settings do not fit together
         */
        public TimesConfig build() {
            return new TimesConfig(contextPower, contextAtom, contextWarmUp, diagonal, pair, intervalWarmUp);
        }
    }
}
