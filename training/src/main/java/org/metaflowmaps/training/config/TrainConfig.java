package org.metaflowmaps.training.config;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Workers;
import org.metaflowmaps.training.data.DataConfig;

/**
 * All settings of a training run, as in its configuration file.
 *
 * @param seed of weights, data order and noise
 * @param steps optimiser steps
 * @param batch items per forward pass
 * @param accumulate forward passes per optimiser step
 * @param slices parts of a pass that threads compute at the same time on the CPU, see {@link #slicesOn}; 0 for one per
 *     thread
 * @param graphs true to capture steps as CUDA graphs on a GPU; without effect on the CPU and with {@code accumulate}
 * @param recompute true to store fewer activations of transformer blocks between a loss and its gradients, and to compute
 *     the others again; changes only rounding, see {@link org.metaflowmaps.models.model.BlockTape}
 * @param labelDrop share of items trained without their label
 * @param guidance amortised guidance scale w of labelled items; 1 for none
 * @param guidanceFrom the time s from which model guidance holds
 * @param init a file of initial weights; null for random ones
 * @param logEvery steps between lines of metrics
 * @param checkpointEvery steps between checkpoints
 * @param checkpointKeep the number of last checkpoints to keep
 * @param checkpointKeepEvery keep checkpoints of multiples of this step forever; 0 for none
 * @param evaluateEvery steps between evaluations of the averaged map, by held-out items and pictures; 0 for none
 * @param precision the network's precision
 * @param data the data
 * @param model the network
 * @param teacher the teacher
 * @param loss the losses
 * @param times the laws of times
 * @param optimizer the optimiser
 * @param average the moving average of its weights
 */
public record TrainConfig(
        @JsonProperty("seed") long seed,
        @JsonProperty("steps") long steps,
        @JsonProperty("batch") int batch,
        @JsonProperty("accumulate") int accumulate,
        @JsonProperty("slices") int slices,
        @JsonProperty("graphs") boolean graphs,
        @JsonProperty("recompute") boolean recompute,
        @JsonProperty("label_drop") double labelDrop,
        @JsonProperty("guidance") double guidance,
        @JsonProperty("guidance_from") double guidanceFrom,
        @JsonProperty("init") @Nullable String init,
        @JsonProperty("log_every") int logEvery,
        @JsonProperty("checkpoint_every") int checkpointEvery,
        @JsonProperty("checkpoint_keep") int checkpointKeep,
        @JsonProperty("checkpoint_keep_every") long checkpointKeepEvery,
        @JsonProperty("evaluate_every") long evaluateEvery,
        @JsonProperty("precision") Precision precision,
        @JsonProperty("data") DataConfig data,
        @JsonProperty("model") ModelConfig model,
        @JsonProperty("teacher") TeacherConfig teacher,
        @JsonProperty("loss") LossConfig loss,
        @JsonProperty("times") TimesConfig times,
        @JsonProperty("optimizer") OptimizerConfig optimizer,
        @JsonProperty("average") AverageConfig average) {
    /** The default model, for the default data: grey images of 28×28 in ten classes. */
    private static final ModelConfig DEFAULT_MODEL = ModelConfig.of(
            TransformerConfig.builder().inputSize(28).inChannels(1).labelDim(10).build());

    /** The fewest items of a slice unless the user chose the slices: smaller products do not use the processor well. */
    private static final int SLICE = 4;

    private static final int MOST_SLICES = 8;

    /** Checks the ranges. */
    public TrainConfig {
        Check.given(precision, "precision");
        Check.given(data, "data");
        Check.given(model, "model");
        Check.given(teacher, "teacher");
        Check.given(loss, "loss");
        Check.given(times, "times");
        Check.given(optimizer, "optimizer");
        Check.given(average, "average");
        Check.require(steps > 0, "steps is %s, expected at least 1", steps);
        Check.require(batch > 0, "batch is %s, expected at least 1", batch);
        Check.require(accumulate > 0, "accumulate is %s, expected at least 1", accumulate);
        Check.require(
                (double) steps * batch * accumulate < 0x1p61,
                "steps times batch times accumulate is %s items, expected fewer than 2^61: lower steps",
                (double) steps * batch * accumulate);
        Check.require(slices >= 0, "slices is %s, expected 0 (one per thread) or more", slices);
        Check.require(labelDrop >= 0 && labelDrop <= 1, "label_drop is %s, expected 0 to 1", labelDrop);
        Check.require(
                guidance > 0 && guidance < Double.POSITIVE_INFINITY,
                "guidance is %s, expected a scale above 0",
                guidance);
        Check.require(
                guidanceFrom >= 0 && guidanceFrom < 1, "guidance_from is %s, expected 0 to below 1", guidanceFrom);
        Check.require(
                loss.velocity() != LossConfig.VelocityKind.GUIDED || guidance != 1,
                "loss.velocity is guided, but guidance is %s: give a scale other than 1",
                guidance);
        List<Double> scales =
                model.transformer() == null ? List.of() : model.transformer().classScales();
        Check.require(
                labelDrop == 1 || scales.isEmpty() || scales.contains(guidance),
                "guidance is %s, expected one of "
                        + "model.transformer.model_guidance_class_ws " + scales
                        + ": for any other scale the network would use the nearest row",
                guidance);
        Check.require(
                !loss.needsTeacher() || teacher.kind() != TeacherConfig.Kind.NONE,
                "loss.velocity or loss.consistency needs a teacher, but teacher.kind is %s",
                "none");
        Check.require(
                teacher.kind() != TeacherConfig.Kind.MIXTURE || data.kind() == DataConfig.Kind.MIXTURE,
                "teacher.kind is mixture, but data.kind is %s: an exact " + "drift is known only for a mixture",
                Check.name(data.kind()));
        Check.require(
                loss.consistency() != LossConfig.ConsistencyKind.SHORTCUT
                        || times.pair().kind() == TimesConfig.LawKind.DYADIC,
                "loss.consistency is shortcut, but times.pair.kind is %s, expected dyadic: halves of a jump must be"
                        + " trained jumps too",
                Check.name(times.pair().kind()));
        Check.require(logEvery > 0, "log_every is %s, expected at least 1", logEvery);
        Check.require(checkpointEvery > 0, "checkpoint_every is %s, expected at least 1", checkpointEvery);
        Check.require(checkpointKeep > 0, "checkpoint_keep is %s, expected at least 1", checkpointKeep);
        Check.require(
                checkpointKeepEvery >= 0,
                "checkpoint_keep_every is %s, expected 0 (none) or more",
                checkpointKeepEvery);
        Check.require(evaluateEvery >= 0, "evaluate_every is %s, expected 0 (off) or more", evaluateEvery);
    }

    /**
     * Returns how many parts of a pass threads compute at the same time: {@link #slices}, but no more than items, and 1
     * on a GPU, which one stream of operations keeps busy. For 0, one per thread, up to 8 and with at least 4 items each. Each beyond the
     * first needs a buffer of gradients.
     *
     * @param device of the run
     */
    public int slicesOn(Device device) {
        if (device.type() != Device.Type.CPU) {
            return 1;
        }
        int wanted = slices > 0 ? slices : Math.min(Math.min(Workers.count(), MOST_SLICES), batch / SLICE);
        return Math.max(1, Math.min(wanted, batch));
    }

    /**
     * Returns a builder with the default of every setting, as defaults.yaml has them:
     * {@code TrainConfig.builder().steps(100).build()}. The default model fits only the default data, 28×28 grey images
     * of ten classes.
     */
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
                .slices(slices)
                .graphs(graphs)
                .recompute(recompute)
                .labelDrop(labelDrop)
                .guidance(guidance)
                .guidanceFrom(guidanceFrom)
                .init(init)
                .logEvery(logEvery)
                .checkpointEvery(checkpointEvery)
                .checkpointKeep(checkpointKeep)
                .checkpointKeepEvery(checkpointKeepEvery)
                .evaluateEvery(evaluateEvery)
                .precision(precision)
                .data(data)
                .model(model)
                .teacher(teacher)
                .loss(loss)
                .times(times)
                .optimizer(optimizer)
                .average(average);
    }

    /**
     * Loads a configuration, {@code TrainConfig.load("quickstart", "steps=100", "batch=8")}.
     *
     * @param name a YAML file, or one of the {@linkplain Configs#BUILT_IN built-in configurations} if there is no such
     *     file
     * @param overrides {@code key=value} settings above it, the value in YAML
     * @throws IOException if there is neither, the file cannot be read, or a setting is unknown or of another kind
     * @throws IllegalArgumentException if a value is out of range
     */
    public static TrainConfig load(String name, String... overrides) throws IOException {
        return Configs.load(name, List.of(overrides)).config();
    }

    /**
     * Returns this configuration with some settings changed, {@code config.with("steps=100", "optimizer.clip=1")}, as
     * on the command line; {@link #toBuilder} changes them with Java types.
     *
     * @param overrides {@code key=value}, the value in YAML; null fills in a size of the network that follows from the
     *     data
     * @throws IOException if a setting is unknown or of another kind, or a size is null and the data cannot be read
     * @throws IllegalArgumentException if a value is out of range
     */
    public TrainConfig with(String... overrides) throws IOException {
        return Configs.with(this, List.of(overrides));
    }

    /** A builder, with defaults for all settings. */
    public static final class Builder {
        private long seed = 42;
        private long steps = 1000;
        private int batch = 64;
        private int accumulate = 1;
        private int slices;
        private boolean graphs;
        private boolean recompute;
        private double labelDrop = 0.1;
        private double guidance = 1;
        private double guidanceFrom;
        private @Nullable String init;
        private int logEvery = 10;
        private int checkpointEvery = 500;
        private int checkpointKeep = 2;
        private long checkpointKeepEvery;
        private long evaluateEvery;
        private Precision precision = Precision.FLOAT32;
        private DataConfig data = DataConfig.builder().build();
        private ModelConfig model = DEFAULT_MODEL;
        private TeacherConfig teacher = TeacherConfig.builder().build();
        private LossConfig loss = LossConfig.builder().build();
        private TimesConfig times = TimesConfig.builder().build();
        private OptimizerConfig optimizer = OptimizerConfig.builder().build();
        private AverageConfig average = new AverageConfig(0.999, 100);

        private Builder() {}

        /** Sets the seed of weights, data order and noise. */
        public Builder seed(long seed) {
            this.seed = seed;
            return this;
        }

        /** Sets the number of optimiser steps. */
        public Builder steps(long steps) {
            this.steps = steps;
            return this;
        }

        /** Sets the items per forward pass. */
        public Builder batch(int batch) {
            this.batch = batch;
            return this;
        }

        /** Sets the forward passes per optimiser step. */
        public Builder accumulate(int accumulate) {
            this.accumulate = accumulate;
            return this;
        }

        /** Sets the parts of a pass that threads compute at the same time on the CPU; 0 for one per thread. */
        public Builder slices(int slices) {
            this.slices = slices;
            return this;
        }

        /** Sets whether steps are captured as CUDA graphs on a GPU. */
        public Builder graphs(boolean graphs) {
            this.graphs = graphs;
            return this;
        }

        /** Sets whether blocks store fewer activations and compute the others again. */
        public Builder recompute(boolean recompute) {
            this.recompute = recompute;
            return this;
        }

        /** Sets the share of items trained without their label. */
        public Builder labelDrop(double labelDrop) {
            this.labelDrop = labelDrop;
            return this;
        }

        /** Sets the amortised guidance scale w of labelled items; 1 for none. */
        public Builder guidance(double guidance) {
            this.guidance = guidance;
            return this;
        }

        /** Sets the time s from which model guidance holds. */
        public Builder guidanceFrom(double guidanceFrom) {
            this.guidanceFrom = guidanceFrom;
            return this;
        }

        /** Sets a file of initial weights; null for random ones. */
        public Builder init(@Nullable String init) {
            this.init = init;
            return this;
        }

        /** Sets the steps between lines of metrics. */
        public Builder logEvery(int logEvery) {
            this.logEvery = logEvery;
            return this;
        }

        /** Sets the steps between checkpoints. */
        public Builder checkpointEvery(int checkpointEvery) {
            this.checkpointEvery = checkpointEvery;
            return this;
        }

        /** Sets the number of last checkpoints to keep. */
        public Builder checkpointKeep(int checkpointKeep) {
            this.checkpointKeep = checkpointKeep;
            return this;
        }

        /** Sets the step whose multiples' checkpoints are kept forever; 0 for none. */
        public Builder checkpointKeepEvery(long checkpointKeepEvery) {
            this.checkpointKeepEvery = checkpointKeepEvery;
            return this;
        }

        /** Sets the steps between evaluations of the averaged map; 0 for none. */
        public Builder evaluateEvery(long evaluateEvery) {
            this.evaluateEvery = evaluateEvery;
            return this;
        }

        /** Sets the network's precision. */
        public Builder precision(Precision precision) {
            this.precision = precision;
            return this;
        }

        /** Sets the data. */
        public Builder data(DataConfig data) {
            this.data = data;
            return this;
        }

        /** Sets the network; its sizes must be those of the data. */
        public Builder model(ModelConfig model) {
            this.model = model;
            return this;
        }

        /** Sets the teacher. */
        public Builder teacher(TeacherConfig teacher) {
            this.teacher = teacher;
            return this;
        }

        /** Sets the losses. */
        public Builder loss(LossConfig loss) {
            this.loss = loss;
            return this;
        }

        /** Sets the laws of times. */
        public Builder times(TimesConfig times) {
            this.times = times;
            return this;
        }

        /** Sets the optimiser. */
        public Builder optimizer(OptimizerConfig optimizer) {
            this.optimizer = optimizer;
            return this;
        }

        /** Sets the moving average of its weights. */
        public Builder average(AverageConfig average) {
            this.average = average;
            return this;
        }

        /**
         * Returns the configuration.
         *
         * @throws IllegalArgumentException if a value is out of range, or settings do not fit together
         */
        public TrainConfig build() {
            return new TrainConfig(
                    seed,
                    steps,
                    batch,
                    accumulate,
                    slices,
                    graphs,
                    recompute,
                    labelDrop,
                    guidance,
                    guidanceFrom,
                    init,
                    logEvery,
                    checkpointEvery,
                    checkpointKeep,
                    checkpointKeepEvery,
                    evaluateEvery,
                    precision,
                    data,
                    model,
                    teacher,
                    loss,
                    times,
                    optimizer,
                    average);
        }
    }
}
