package org.metaflowmaps.steering.finetune;

import com.google.common.base.Preconditions;
import org.metaflowmaps.training.config.Precision;

/**
 * The settings of a fine-tuning run; the defaults are the paper's (method §9.2).
 *
 * @param seed of data noise and draws
 * @param steps optimiser steps, at least 1
 * @param batch items per pass, at least 1
 * @param accumulate passes per step, at least 1
 * @param learningRate RAdam's learning rate after warm-up, above 0
 * @param warmUp steps over which the rate rises from a tenth, 0 or more
 * @param clip largest norm of the gradient; 0 for no bound
 * @param skipAbove norm of the gradient above which a step is skipped; 0 for no bound
 * @param maxSkipped skipped steps in a row that end the run, at least 1
 * @param averageDecay decay of the average per step, 0 to below 1
 * @param averageStart step from which to average, 0 or more
 * @param shiftItems items whose posterior draws set the shifts before the first step, at least 1
 * @param logEvery steps between lines of metrics, at least 1
 * @param checkpointEvery steps between checkpoints, at least 1
 * @param checkpointKeep number of kept checkpoints, at least 1
 * @param evaluateEvery steps between evaluations of the independent reward; 0 for none
 * @param patience evaluations in a row below the best after which the monitor acts, at least 1
 * @param lowering factor of the strength then, below 1; 0 to stop the run
 * @param precision precision of the networks
 * @param graphs true to capture steps as CUDA graphs on a GPU; without effect on the CPU and with {@code accumulate}. Off
 *     by default, because no GPU has run it yet
 * @param recompute true to store fewer activations of the student's transformer blocks and to compute the others again;
 *     changes only rounding, see {@link org.metaflowmaps.models.model.BlockTape}
 * @param loss the loss
 */
public record FineTuneConfig(
        long seed,
        long steps,
        int batch,
        int accumulate,
        double learningRate,
        long warmUp,
        double clip,
        double skipAbove,
        int maxSkipped,
        double averageDecay,
        long averageStart,
        int shiftItems,
        int logEvery,
        long checkpointEvery,
        int checkpointKeep,
        long evaluateEvery,
        int patience,
        double lowering,
        Precision precision,
        boolean graphs,
        boolean recompute,
        FineTuneLoss loss) {
    /** Checks the ranges that trainer, optimiser, average and loss do not check. */
    public FineTuneConfig {
        require(
                learningRate > 0 && Double.isFinite(learningRate),
                "learning rate is %s, expected above 0",
                learningRate);
        require(shiftItems > 0, "shift items is %s, expected at least 1", shiftItems);
        require(checkpointKeep > 0, "checkpoint keep is %s, expected at least 1", checkpointKeep);
        require(evaluateEvery >= 0, "evaluate every is %s, expected 0 (never) or more", evaluateEvery);
        require(averageStart >= 0, "average start is %s, expected 0 or more", averageStart);
        require(averageDecay >= 0 && averageDecay < 1, "average decay is %s, expected 0 to below 1", averageDecay);
        require(patience > 0, "patience is %s evaluations, expected at least 1", patience);
        require(lowering >= 0 && lowering < 1, "lowering is %s, expected 0 (stop) to below 1", lowering);
        Preconditions.checkNotNull(precision, "fine-tuning: the precision is null");
        Preconditions.checkNotNull(loss, "fine-tuning: the loss is null");
    }

    private static void require(boolean holds, String template, Object value) {
        Preconditions.checkArgument(holds, "fine-tuning: " + template, value);
    }

    /** Returns a builder with the defaults. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder with these settings. */
    public Builder toBuilder() {
        return new Builder()
                .seed(seed)
                .steps(steps)
                .batch(batch)
                .accumulate(accumulate)
                .learningRate(learningRate)
                .warmUp(warmUp)
                .clip(clip)
                .skipAbove(skipAbove)
                .maxSkipped(maxSkipped)
                .averageDecay(averageDecay)
                .averageStart(averageStart)
                .shiftItems(shiftItems)
                .logEvery(logEvery)
                .checkpointEvery(checkpointEvery)
                .checkpointKeep(checkpointKeep)
                .evaluateEvery(evaluateEvery)
                .patience(patience)
                .lowering(lowering)
                .precision(precision)
                .graphs(graphs)
                .recompute(recompute)
                .loss(loss);
    }

    /** A builder; settings have their defaults at first. */
    public static final class Builder {
        private long seed;
        private long steps = 10_000;
        private int batch = 18;
        private int accumulate = 1;
        private double learningRate = 1e-4;
        private long warmUp = 250;
        private double clip = 1.5;
        private double skipAbove;
        private int maxSkipped = 20;
        private double averageDecay = 0.999;
        private long averageStart = 100;
        private int shiftItems = 512;
        private int logEvery = 50;
        private long checkpointEvery = 500;
        private int checkpointKeep = 2;
        private long evaluateEvery = 500;
        private int patience = 3;
        private double lowering;
        private Precision precision = Precision.FLOAT32;
        private boolean graphs;
        private boolean recompute;
        private FineTuneLoss loss = FineTuneLoss.exact(1);

        private Builder() {}

        /** Sets the seed of all draws. */
        public Builder seed(long seed) {
            this.seed = seed;
            return this;
        }

        /** Sets the optimiser steps. */
        public Builder steps(long steps) {
            this.steps = steps;
            return this;
        }

        /** Sets the items per pass. */
        public Builder batch(int batch) {
            this.batch = batch;
            return this;
        }

        /** Sets the passes per step. */
        public Builder accumulate(int accumulate) {
            this.accumulate = accumulate;
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

        /** Sets the largest norm of the gradient; 0 for no bound. */
        public Builder clip(double clip) {
            this.clip = clip;
            return this;
        }

        /** Sets the norm above which a step is skipped; 0 for no bound. */
        public Builder skipAbove(double skipAbove) {
            this.skipAbove = skipAbove;
            return this;
        }

        /** Sets the skipped steps in a row that end the run. */
        public Builder maxSkipped(int maxSkipped) {
            this.maxSkipped = maxSkipped;
            return this;
        }

        /** Sets the decay of the average per step. */
        public Builder averageDecay(double averageDecay) {
            this.averageDecay = averageDecay;
            return this;
        }

        /** Sets the first step of the average. */
        public Builder averageStart(long averageStart) {
            this.averageStart = averageStart;
            return this;
        }

        /** Sets the items whose posterior draws set the first shifts. */
        public Builder shiftItems(int shiftItems) {
            this.shiftItems = shiftItems;
            return this;
        }

        /** Sets the steps between lines of metrics. */
        public Builder logEvery(int logEvery) {
            this.logEvery = logEvery;
            return this;
        }

        /** Sets the steps between checkpoints. */
        public Builder checkpointEvery(long checkpointEvery) {
            this.checkpointEvery = checkpointEvery;
            return this;
        }

        /** Sets the number of kept checkpoints. */
        public Builder checkpointKeep(int checkpointKeep) {
            this.checkpointKeep = checkpointKeep;
            return this;
        }

        /** Sets the steps between evaluations; 0 for none. */
        public Builder evaluateEvery(long evaluateEvery) {
            this.evaluateEvery = evaluateEvery;
            return this;
        }

        /** Sets the evaluations in a row below the best after which the monitor acts. */
        public Builder patience(int patience) {
            this.patience = patience;
            return this;
        }

        /** Sets the factor of the strength then; 0 to stop the run. */
        public Builder lowering(double lowering) {
            this.lowering = lowering;
            return this;
        }

        /** Sets the precision of the networks. */
        public Builder precision(Precision precision) {
            this.precision = precision;
            return this;
        }

        /** Sets whether steps are captured as CUDA graphs on a GPU. */
        public Builder graphs(boolean graphs) {
            this.graphs = graphs;
            return this;
        }

        /** Sets whether activations of transformer blocks are computed again for the gradients. */
        public Builder recompute(boolean recompute) {
            this.recompute = recompute;
            return this;
        }

        /** Sets the loss. */
        public Builder loss(FineTuneLoss loss) {
            this.loss = loss;
            return this;
        }

        /**
         * Returns the settings.
         *
         * @throws IllegalArgumentException if one is out of range
         */
        public FineTuneConfig build() {
            return new FineTuneConfig(
                    seed,
                    steps,
                    batch,
                    accumulate,
                    learningRate,
                    warmUp,
                    clip,
                    skipAbove,
                    maxSkipped,
                    averageDecay,
                    averageStart,
                    shiftItems,
                    logEvery,
                    checkpointEvery,
                    checkpointKeep,
                    evaluateEvery,
                    patience,
                    lowering,
                    precision,
                    graphs,
                    recompute,
                    loss);
        }
    }
}
