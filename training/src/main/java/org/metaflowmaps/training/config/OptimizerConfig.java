package org.metaflowmaps.training.config;

import com.fasterxml.jackson.annotation.JsonProperty;

/**
 * The optimiser.
 *
 * @param kind which
 * @param learningRate after warm-up
 * @param warmUp steps over which the rate rises from a tenth
 * @param decay steps at the end over which the rate falls to zero; 0 for none
 * @param beta1 decay of the mean
 * @param beta2 decay of the mean square
 * @param eps added to the root
 * @param weightDecay for AdamW
 * @param clip largest norm of all gradients together; 0 for no bound
 * @param skipAbove norm of all gradients together, before clipping, above which a step is skipped; 0 for no bound: then
 *     only steps that are not finite are skipped
 * @param maxSkipped skipped steps in a row that end the run
 */
public record OptimizerConfig(
        @JsonProperty("kind") Kind kind,
        @JsonProperty("learning_rate") double learningRate,
        @JsonProperty("warm_up") long warmUp,
        @JsonProperty("decay") long decay,
        @JsonProperty("beta1") double beta1,
        @JsonProperty("beta2") double beta2,
        @JsonProperty("eps") double eps,
        @JsonProperty("weight_decay") double weightDecay,
        @JsonProperty("clip") double clip,
        @JsonProperty("skip_above") double skipAbove,
        @JsonProperty("max_skipped") int maxSkipped) {
    /** Checks the ranges. */
    public OptimizerConfig {
        Check.given(kind, "optimizer.kind");
        Check.require(
                learningRate > 0 && learningRate < Double.POSITIVE_INFINITY,
                "optimizer.learning_rate is %s, expected a number above 0",
                learningRate);
        Check.require(warmUp >= 0, "optimizer.warm_up is %s, expected 0 or more", warmUp);
        Check.require(eps > 0 && eps < Double.POSITIVE_INFINITY, "optimizer.eps is %s, expected a number above 0", eps);
        Check.require(
                weightDecay >= 0 && weightDecay < Double.POSITIVE_INFINITY,
                "optimizer.weight_decay is %s, expected a number of 0 or more",
                weightDecay);
        Check.require(
                weightDecay == 0 || kind == Kind.ADAMW,
                "optimizer.weight_decay is %s, but optimizer.kind is radam, which has none: set it to 0, or"
                        + " optimizer.kind=adamw",
                weightDecay);
        Check.require(
                clip >= 0 && clip < Double.POSITIVE_INFINITY, "optimizer.clip is %s, expected 0 (off) or more", clip);
        Check.require(
                skipAbove >= 0 && skipAbove < Double.POSITIVE_INFINITY,
                "optimizer.skip_above is %s, expected 0 (no bound) or more",
                skipAbove);
        Check.require(maxSkipped > 0, "optimizer.max_skipped is %s, expected at least 1", maxSkipped);
        Check.require(decay >= 0, "optimizer.decay is %s, expected 0 or more", decay);
        Check.require(beta1 >= 0 && beta1 < 1, "optimizer.beta1 is %s, expected 0 to below 1", beta1);
        Check.require(beta2 >= 0 && beta2 < 1, "optimizer.beta2 is %s, expected 0 to below 1", beta2);
    }

    /** Returns a builder with the default of every setting, as defaults.yaml has them. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder with these settings. */
    public Builder toBuilder() {
        return new Builder()
                .kind(kind)
                .learningRate(learningRate)
                .warmUp(warmUp)
                .decay(decay)
                .beta1(beta1)
                .beta2(beta2)
                .eps(eps)
                .weightDecay(weightDecay)
                .clip(clip)
                .skipAbove(skipAbove)
                .maxSkipped(maxSkipped);
    }

    /** The optimisers by their names in a file. */
    public enum Kind {
        /** Rectified Adam. */
        @JsonProperty("radam")
        RADAM,
        /** Adam with decoupled weight decay. */
        @JsonProperty("adamw")
        ADAMW
    }

    /** A builder, with defaults for all settings. */
    public static final class Builder {
        private Kind kind = Kind.RADAM;
        private double learningRate = 1e-4;
        private long warmUp;
        private long decay;
        private double beta1 = 0.9;
        private double beta2 = 0.999;
        private double eps = 1e-8;
        private double weightDecay;
        private double clip = 1.5;
        private double skipAbove;
        private int maxSkipped = 10;

        private Builder() {}

        /** Sets which optimiser. */
        public Builder kind(Kind kind) {
            this.kind = kind;
            return this;
        }

        /** Sets the learning rate after warm-up. */
        public Builder learningRate(double learningRate) {
            this.learningRate = learningRate;
            return this;
        }

        /** Sets the steps over which the rate rises from a tenth. */
        public Builder warmUp(long warmUp) {
            this.warmUp = warmUp;
            return this;
        }

        /** Sets the steps at the end over which the rate falls to zero; 0 for none. */
        public Builder decay(long decay) {
            this.decay = decay;
            return this;
        }

        /** Sets the decay of the mean. */
        public Builder beta1(double beta1) {
            this.beta1 = beta1;
            return this;
        }

        /** Sets the decay of the mean square. */
        public Builder beta2(double beta2) {
            this.beta2 = beta2;
            return this;
        }

        /** Sets the number added to the root. */
        public Builder eps(double eps) {
            this.eps = eps;
            return this;
        }

        /** Sets the weight decay of AdamW. */
        public Builder weightDecay(double weightDecay) {
            this.weightDecay = weightDecay;
            return this;
        }

        /** Sets the largest norm of all gradients together; 0 for no bound. */
        public Builder clip(double clip) {
            this.clip = clip;
            return this;
        }

        /** Sets the norm before clipping above which a step is skipped; 0 for no bound. */
        public Builder skipAbove(double skipAbove) {
            this.skipAbove = skipAbove;
            return this;
        }

        /** Sets the skipped steps in a row that end the run. */
        public Builder maxSkipped(int maxSkipped) {
            this.maxSkipped = maxSkipped;
            return this;
        }

        /**
         * Returns the configuration.
         *
         * @throws IllegalArgumentException if a value is out of range, or settings do not fit together
         */
        public OptimizerConfig build() {
            return new OptimizerConfig(
                    kind, learningRate, warmUp, decay, beta1, beta2, eps, weightDecay, clip, skipAbove, maxSkipped);
        }
    }
}
