package org.metaflowmaps.training;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.google.common.base.Preconditions;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.training.loss.Consistency;
import org.metaflowmaps.training.loss.Weighting;
import org.metaflowmaps.training.model.MlpConfig;
import org.metaflowmaps.training.model.TransformerConfig;

/**
 * All that determines a training run, as written in its configuration file.
 *
 * @param seed of weights, data order and noise
 * @param steps optimiser steps
 * @param batch items per forward pass
 * @param accumulate forward passes per optimiser step
 * @param labelDrop share of items trained without their label
 * @param logEvery steps between lines of metrics
 * @param checkpointEvery steps between checkpoints
 * @param precision what the network computes in
 * @param data what is modelled
 * @param model the network
 * @param loss what it is trained on
 * @param times how times are drawn
 * @param optimizer how it is changed
 * @param average the moving average of its weights
 */
public record TrainConfig(
        @JsonProperty("seed") long seed,
        @JsonProperty("steps") long steps,
        @JsonProperty("batch") int batch,
        @JsonProperty("accumulate") int accumulate,
        @JsonProperty("label_drop") double labelDrop,
        @JsonProperty("log_every") int logEvery,
        @JsonProperty("checkpoint_every") int checkpointEvery,
        @JsonProperty("precision") Precision precision,
        @JsonProperty("data") Data data,
        @JsonProperty("model") Model model,
        @JsonProperty("loss") Loss loss,
        @JsonProperty("times") Times times,
        @JsonProperty("optimizer") Optim optimizer,
        @JsonProperty("average") Average average) {

    /** Checks the ranges. */
    public TrainConfig {
        given(precision, "precision");
        given(data, "data");
        given(model, "model");
        given(loss, "loss");
        given(times, "times");
        given(optimizer, "optimizer");
        given(average, "average");
        require(steps > 0, "steps is %s, expected at least 1", steps);
        require(batch > 0, "batch is %s, expected at least 1", batch);
        require(accumulate > 0, "accumulate is %s, expected at least 1", accumulate);
        require(labelDrop >= 0 && labelDrop <= 1, "label_drop is %s, expected 0 to 1", labelDrop);
        require(logEvery > 0, "log_every is %s, expected at least 1", logEvery);
        require(checkpointEvery > 0, "checkpoint_every is %s, expected at least 1", checkpointEvery);
    }

    private static void require(boolean holds, String template, Object value) {
        Preconditions.checkArgument(holds, "config: " + template, value);
    }

    /** A file may say null where the types do not. */
    private static void given(@Nullable Object value, String name) {
        require(value != null, "%s is null, expected a value", name);
    }

    /** What a run models. */
    public enum DataKind {
        /** Images of clothing, 28×28, ten classes. */
        @JsonProperty("fashion-mnist")
        FASHION_MNIST,
        /** An exact Gaussian mixture. */
        @JsonProperty("mixture")
        MIXTURE
    }

    /**
     * The data.
     *
     * @param kind which
     * @param folder where its files are; null for the images that come with the library
     * @param holdOut images at the end of the set that are not trained on
     * @param means a mixture's component centres
     * @param variance a mixture's component variance
     */
    public record Data(
            @JsonProperty("kind") DataKind kind,
            @JsonProperty("folder") @Nullable String folder,
            @JsonProperty("hold_out") int holdOut,
            @JsonProperty("means") List<double[]> means,
            @JsonProperty("variance") double variance) {
        /** Checks the ranges. */
        public Data {
            given(kind, "data.kind");
            given(means, "data.means");
            require(means.stream().noneMatch(Objects::isNull), "data.means holds null, expected lists of numbers, such as %s", "[[-3, -3], [3, 3]]");
            require(holdOut >= 0, "data.hold_out is %s, expected 0 or more", holdOut);
        }
    }

    /**
     * The network: exactly one of the two.
     *
     * @param transformer for images
     * @param mlp for vectors of a few dimensions
     */
    public record Model(
            @JsonProperty("transformer") @Nullable TransformerConfig transformer, @JsonProperty("mlp") @Nullable MlpConfig mlp) {
        /** Checks that there is exactly one. */
        public Model {
            require((transformer == null) != (mlp == null), "model needs either 'transformer' or 'mlp' and null for the other, %s given",
                    transformer == null ? "neither is" : "both are");
        }
    }

    /** The consistency losses by their names in a file. */
    public enum ConsistencyKind {
        /** Diagonal only: flow matching. */
        @JsonProperty("none")
        NONE,
        /** {@link Consistency.Semigroup}. */
        @JsonProperty("semigroup")
        SEMIGROUP,
        /** {@link Consistency.MeanFlow}. */
        @JsonProperty("mean-flow")
        MEAN_FLOW,
        /** {@link Consistency.Eulerian}. */
        @JsonProperty("eulerian")
        EULERIAN,
        /** {@link Consistency.Lagrangian} with its gradient through the derivative. */
        @JsonProperty("lagrangian")
        LAGRANGIAN
    }

    /** The weightings by their names in a file. */
    public enum WeightingKind {
        /** {@link Weighting.L2}. */
        @JsonProperty("l2")
        L2,
        /** {@link Weighting.LogVariance}. */
        @JsonProperty("lv")
        LV,
        /** {@link Weighting.Adaptive}. */
        @JsonProperty("adaptive")
        ADAPTIVE
    }

    /**
     * A weighting.
     *
     * @param kind which
     * @param p exponent of the adaptive one
     * @param c floor of the adaptive one
     */
    public record Weight(@JsonProperty("kind") WeightingKind kind, @JsonProperty("p") double p, @JsonProperty("c") double c) {
        /** Checks the ranges. */
        public Weight {
            given(kind, "a weighting's kind");
            require(p >= 0 && p <= 1, "a weighting's p is %s, expected 0 to 1", p);
            require(c > 0, "a weighting's c is %s, expected more than 0", c);
        }

        Weighting create() {
            return switch (kind) {
                case L2 -> new Weighting.L2();
                case LV -> new Weighting.LogVariance();
                case ADAPTIVE -> new Weighting.Adaptive(p, c);
            };
        }
    }

    /**
     * The objective.
     *
     * @param diagonal weighting of the diagonal loss
     * @param consistency which consistency loss
     * @param consistencyWeighting its weighting
     * @param consistencyShare share of a batch that the consistency loss sees, from its first items on
     * @param diagonalOnly steps at the start without a consistency loss
     */
    public record Loss(
            @JsonProperty("diagonal") Weight diagonal,
            @JsonProperty("consistency") ConsistencyKind consistency,
            @JsonProperty("consistency_weighting") Weight consistencyWeighting,
            @JsonProperty("consistency_share") double consistencyShare,
            @JsonProperty("diagonal_only") long diagonalOnly) {
        /** Checks the ranges. */
        public Loss {
            given(diagonal, "loss.diagonal");
            given(consistency, "loss.consistency");
            given(consistencyWeighting, "loss.consistency_weighting");
            require(consistencyShare > 0 && consistencyShare <= 1, "loss.consistency_share is %s, expected above 0 to 1", consistencyShare);
            require(diagonalOnly >= 0, "loss.diagonal_only is %s, expected 0 or more", diagonalOnly);
        }
    }

    /**
     * The laws of times (method §4.1): the context's is U^power, but 0 with probability atom; s and u are sorted uniforms.
     *
     * @param contextPower 1 for uniform; larger favours noisy contexts
     * @param contextAtom share of contexts at t = 0, which say nothing
     */
    public record Times(@JsonProperty("context_power") double contextPower, @JsonProperty("context_atom") double contextAtom) {
        /** Checks the ranges. */
        public Times {
            require(contextPower > 0, "times.context_power is %s, expected more than 0", contextPower);
            require(contextAtom >= 0 && contextAtom <= 1, "times.context_atom is %s, expected 0 to 1", contextAtom);
        }
    }

    /** The optimisers by their names in a file. */
    public enum OptimizerKind {
        /** Rectified Adam. */
        @JsonProperty("radam")
        RADAM,
        /** Adam with decoupled weight decay. */
        @JsonProperty("adamw")
        ADAMW
    }

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
     */
    public record Optim(
            @JsonProperty("kind") OptimizerKind kind,
            @JsonProperty("learning_rate") double learningRate,
            @JsonProperty("warm_up") long warmUp,
            @JsonProperty("decay") long decay,
            @JsonProperty("beta1") double beta1,
            @JsonProperty("beta2") double beta2,
            @JsonProperty("eps") double eps,
            @JsonProperty("weight_decay") double weightDecay,
            @JsonProperty("clip") double clip) {
        /** Checks the ranges. */
        public Optim {
            given(kind, "optimizer.kind");
            require(learningRate > 0 && learningRate < Double.POSITIVE_INFINITY, "optimizer.learning_rate is %s, expected a number above 0", learningRate);
            require(warmUp >= 0, "optimizer.warm_up is %s, expected 0 or more", warmUp);
            require(eps > 0, "optimizer.eps is %s, expected more than 0", eps);
            require(weightDecay >= 0, "optimizer.weight_decay is %s, expected 0 or more", weightDecay);
            require(clip >= 0, "optimizer.clip is %s, expected 0 (off) or more", clip);
            require(decay >= 0, "optimizer.decay is %s, expected 0 or more", decay);
            require(beta1 >= 0 && beta1 < 1, "optimizer.beta1 is %s, expected 0 to below 1", beta1);
            require(beta2 >= 0 && beta2 < 1, "optimizer.beta2 is %s, expected 0 to below 1", beta2);
        }
    }

    /**
     * The moving average.
     *
     * @param decay share of the average that stays at each step
     * @param start step from which to average
     */
    public record Average(@JsonProperty("decay") double decay, @JsonProperty("start") long start) {
        /** Checks the ranges. */
        public Average {
            require(decay >= 0 && decay < 1, "average.decay is %s, expected 0 to below 1", decay);
            require(start >= 0, "average.start is %s, expected 0 or more", start);
        }
    }
}
