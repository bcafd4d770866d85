package org.metaflowmaps.training;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.google.common.base.Preconditions;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.training.loss.Eulerian;
import org.metaflowmaps.training.loss.Lagrangian;
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
 * @param guidance amortised guidance scale w that labelled items are trained with; 1 for none
 * @param guidanceFrom the time s from which model guidance holds
 * @param init a file with the weights to begin with; null for fresh ones
 * @param logEvery steps between lines of metrics
 * @param checkpointEvery steps between checkpoints
 * @param checkpointKeep how many of the last checkpoints stay
 * @param checkpointKeepEvery steps whose multiples' checkpoints stay for good; 0 for none
 * @param precision what the network computes in
 * @param data what is modelled
 * @param model the network
 * @param teacher what it is distilled from
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
        @JsonProperty("guidance") double guidance,
        @JsonProperty("guidance_from") double guidanceFrom,
        @JsonProperty("init") @Nullable String init,
        @JsonProperty("log_every") int logEvery,
        @JsonProperty("checkpoint_every") int checkpointEvery,
        @JsonProperty("checkpoint_keep") int checkpointKeep,
        @JsonProperty("checkpoint_keep_every") long checkpointKeepEvery,
        @JsonProperty("precision") Precision precision,
        @JsonProperty("data") Data data,
        @JsonProperty("model") Model model,
        @JsonProperty("teacher") Teacher teacher,
        @JsonProperty("loss") Loss loss,
        @JsonProperty("times") Times times,
        @JsonProperty("optimizer") Optim optimizer,
        @JsonProperty("average") Average average) {

    /** Checks the ranges. */
    public TrainConfig {
        given(precision, "precision");
        given(data, "data");
        given(model, "model");
        given(teacher, "teacher");
        given(loss, "loss");
        given(times, "times");
        given(optimizer, "optimizer");
        given(average, "average");
        require(steps > 0, "steps is %s, expected at least 1", steps);
        require(batch > 0, "batch is %s, expected at least 1", batch);
        require(accumulate > 0, "accumulate is %s, expected at least 1", accumulate);
        require(labelDrop >= 0 && labelDrop <= 1, "label_drop is %s, expected 0 to 1", labelDrop);
        require(guidance > 0 && guidance < Double.POSITIVE_INFINITY, "guidance is %s, expected a scale above 0", guidance);
        require(guidanceFrom >= 0 && guidanceFrom < 1, "guidance_from is %s, expected 0 to below 1", guidanceFrom);
        require(loss.velocity() != VelocityKind.GUIDED || guidance != 1, "loss.velocity is guided, but guidance is %s: give a scale other than 1",
                guidance);
        require(!loss.needsTeacher() || teacher.kind() != TeacherKind.NONE, "loss.velocity or loss.consistency needs a teacher, but teacher.kind is %s",
                "none");
        require(teacher.kind() != TeacherKind.MIXTURE || data.kind() == DataKind.MIXTURE, "teacher.kind is mixture, but data.kind is %s: an exact "
                + "drift is known of a mixture only", data.kind());
        require(logEvery > 0, "log_every is %s, expected at least 1", logEvery);
        require(checkpointEvery > 0, "checkpoint_every is %s, expected at least 1", checkpointEvery);
        require(checkpointKeep > 0, "checkpoint_keep is %s, expected at least 1", checkpointKeep);
        require(checkpointKeepEvery >= 0, "checkpoint_keep_every is %s, expected 0 (none) or more", checkpointKeepEvery);
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

    /** Teachers by their names in a file. */
    public enum TeacherKind {
        /** No teacher. */
        @JsonProperty("none")
        NONE,
        /** A frozen network. */
        @JsonProperty("network")
        NETWORK,
        /** The exact drift of the mixture that is the data. */
        @JsonProperty("mixture")
        MIXTURE
    }

    /** How a teacher network is guided, by the names of the public code. */
    public enum TeacherGuidance {
        /** As its labels and scales say, without more. */
        @JsonProperty("none")
        NONE,
        /** Classifier-free guidance of a network without guidance inside. */
        @JsonProperty("sit")
        SIT,
        /** Classifier-free guidance after undoing the model guidance that the network was trained with. */
        @JsonProperty("dmf")
        DMF
    }

    /**
     * What a map is distilled from.
     *
     * @param kind which
     * @param file weights of a network; a run's checkpoint or a public file
     * @param guidance how a network is guided
     * @param builtIn ω, the model guidance to undo
     */
    public record Teacher(
            @JsonProperty("kind") TeacherKind kind,
            @JsonProperty("file") @Nullable String file,
            @JsonProperty("guidance") TeacherGuidance guidance,
            @JsonProperty("built_in") double builtIn) {
        /** Checks the ranges. */
        public Teacher {
            given(kind, "teacher.kind");
            given(guidance, "teacher.guidance");
            require(kind != TeacherKind.NETWORK || file != null, "teacher.kind is network, but teacher.file is %s: name its weights, such as teacher.file=FILE",
                    "null");
            require(builtIn >= 0 && builtIn < 1, "teacher.built_in is %s, expected 0 to below 1", builtIn);
        }
    }

    /** Where losses take a pair's velocity from, by names in a file. */
    public enum VelocityKind {
        /** {@link org.metaflowmaps.training.loss.Velocity.Data}. */
        @JsonProperty("data")
        DATA,
        /** {@link org.metaflowmaps.training.loss.Velocity.Guided}. */
        @JsonProperty("guided")
        GUIDED,
        /** {@link org.metaflowmaps.training.loss.Velocity.Taught}. */
        @JsonProperty("teacher")
        TEACHER
    }

    /** The consistency losses by their names in a file. */
    public enum ConsistencyKind {
        /** Diagonal only: flow matching. */
        @JsonProperty("none")
        NONE,
        /** {@link org.metaflowmaps.training.loss.Semigroup}. */
        @JsonProperty("semigroup")
        SEMIGROUP,
        /** {@link org.metaflowmaps.training.loss.Progressive}. */
        @JsonProperty("psd")
        PSD,
        /** {@link org.metaflowmaps.training.loss.Shortcut}. */
        @JsonProperty("shortcut")
        SHORTCUT,
        /** {@link Eulerian} with the diagonal's velocity. */
        @JsonProperty("mean-flow")
        MEAN_FLOW,
        /** {@link org.metaflowmaps.training.loss.ImprovedMeanFlow}. */
        @JsonProperty("improved-mean-flow")
        IMPROVED_MEAN_FLOW,
        /** {@link Eulerian} with the map's own velocity. */
        @JsonProperty("eulerian")
        EULERIAN,
        /** {@link Eulerian} with a teacher's drift. */
        @JsonProperty("eulerian-teacher")
        EULERIAN_TEACHER,
        /** {@link Lagrangian} with the map's own velocity. */
        @JsonProperty("lagrangian")
        LAGRANGIAN,
        /** {@link Lagrangian} with a teacher's drift. */
        @JsonProperty("lagrangian-teacher")
        LAGRANGIAN_TEACHER,
        /** {@link org.metaflowmaps.training.loss.TerminalVelocity}. */
        @JsonProperty("terminal-velocity")
        TERMINAL_VELOCITY,
        /** {@link org.metaflowmaps.training.loss.AlphaFlow}. */
        @JsonProperty("alpha-flow")
        ALPHA_FLOW
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
        ADAPTIVE,
        /** {@link Weighting.Learned}. */
        @JsonProperty("learned")
        LEARNED
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
    }

    /**
     * The objective.
     *
     * @param velocity what the diagonal learns, and what data losses take for their pairs' velocity
     * @param diagonal weighting of the diagonal loss
     * @param consistency which consistency loss
     * @param consistencyWeighting its weighting
     * @param consistencyShare share of a batch that the consistency loss sees, from its first items on
     * @param diagonalOnly steps at the start without a consistency loss
     * @param through which side a Lagrangian loss trains
     * @param averaged true to let the moving average make the shorter jumps of semigroup, psd and shortcut
     * @param alphaFrom the step until which α-flow is flow matching
     * @param alphaTo the step from which it is MeanFlow
     */
    public record Loss(
            @JsonProperty("velocity") VelocityKind velocity,
            @JsonProperty("diagonal") Weight diagonal,
            @JsonProperty("consistency") ConsistencyKind consistency,
            @JsonProperty("consistency_weighting") Weight consistencyWeighting,
            @JsonProperty("consistency_share") double consistencyShare,
            @JsonProperty("diagonal_only") long diagonalOnly,
            @JsonProperty("through") Lagrangian.Through through,
            @JsonProperty("averaged") boolean averaged,
            @JsonProperty("alpha_from") long alphaFrom,
            @JsonProperty("alpha_to") long alphaTo) {
        /** Checks the ranges. */
        public Loss {
            given(velocity, "loss.velocity");
            given(diagonal, "loss.diagonal");
            given(consistency, "loss.consistency");
            given(consistencyWeighting, "loss.consistency_weighting");
            given(through, "loss.through");
            require(consistencyShare > 0 && consistencyShare <= 1, "loss.consistency_share is %s, expected above 0 to 1", consistencyShare);
            require(diagonalOnly >= 0, "loss.diagonal_only is %s, expected 0 or more", diagonalOnly);
            require(consistency != ConsistencyKind.LAGRANGIAN_TEACHER || through != Lagrangian.Through.VELOCITY,
                    "loss.through is velocity, which trains the map's own velocity: for %s take derivative or average", "lagrangian-teacher");
            require(alphaFrom >= 0, "loss.alpha_from is %s, expected 0 or more", alphaFrom);
            require(alphaTo >= alphaFrom, "loss.alpha_to is %s, expected no less than loss.alpha_from", alphaTo);
        }

        boolean needsTeacher() {
            return velocity == VelocityKind.TEACHER || consistency == ConsistencyKind.EULERIAN_TEACHER
                    || consistency == ConsistencyKind.LAGRANGIAN_TEACHER;
        }
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
     * @param mean of the normal number, in this library's clock, in which data are at 1
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
            given(kind, "a time law's kind");
            require(std > 0, "a time law's std is %s, expected more than 0", std);
            require(levels >= 1 && levels <= 20, "a time law's levels are %s, expected 1 to 20", levels);
        }
    }

    /**
     * The laws of times (method §4.1): the context's is U^power, but 0 with probability atom.
     *
     * @param contextPower 1 for uniform; larger favours noisy contexts
     * @param contextAtom share of contexts at t = 0, which say nothing
     * @param contextWarmUp steps over which context times grow from 0 to their law
     * @param diagonal law of s on the diagonal
     * @param pair law of (s, u)
     * @param intervalWarmUp steps over which jumps grow from 0 to their length, around their midpoint
     */
    public record Times(
            @JsonProperty("context_power") double contextPower,
            @JsonProperty("context_atom") double contextAtom,
            @JsonProperty("context_warm_up") long contextWarmUp,
            @JsonProperty("diagonal") Law diagonal,
            @JsonProperty("pair") Law pair,
            @JsonProperty("interval_warm_up") long intervalWarmUp) {
        /** Checks the ranges. */
        public Times {
            given(diagonal, "times.diagonal");
            given(pair, "times.pair");
            require(contextPower > 0, "times.context_power is %s, expected more than 0", contextPower);
            require(contextAtom >= 0 && contextAtom <= 1, "times.context_atom is %s, expected 0 to 1", contextAtom);
            require(contextWarmUp >= 0, "times.context_warm_up is %s, expected 0 or more", contextWarmUp);
            require(intervalWarmUp >= 0, "times.interval_warm_up is %s, expected 0 or more", intervalWarmUp);
            require(diagonal.kind() != LawKind.DYADIC, "times.diagonal.kind is %s, which is a law of pairs", "dyadic");
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
     * @param skipAbove norm of all gradients together, before clipping, above which a step is skipped; 0 for no bound: then only
     *     steps that are not finite are
     * @param maxSkipped skipped steps in a row that end the run
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
            @JsonProperty("clip") double clip,
            @JsonProperty("skip_above") double skipAbove,
            @JsonProperty("max_skipped") int maxSkipped) {
        /** Checks the ranges. */
        public Optim {
            given(kind, "optimizer.kind");
            require(learningRate > 0 && learningRate < Double.POSITIVE_INFINITY, "optimizer.learning_rate is %s, expected a number above 0", learningRate);
            require(warmUp >= 0, "optimizer.warm_up is %s, expected 0 or more", warmUp);
            require(eps > 0, "optimizer.eps is %s, expected more than 0", eps);
            require(weightDecay >= 0, "optimizer.weight_decay is %s, expected 0 or more", weightDecay);
            require(clip >= 0, "optimizer.clip is %s, expected 0 (off) or more", clip);
            require(skipAbove >= 0, "optimizer.skip_above is %s, expected 0 (no bound) or more", skipAbove);
            require(maxSkipped > 0, "optimizer.max_skipped is %s, expected at least 1", maxSkipped);
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
