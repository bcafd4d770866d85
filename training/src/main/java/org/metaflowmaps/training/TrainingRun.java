package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.Processor;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.model.Initialisation;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.cuda.StepGraph;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.Seeds;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.Draw;
import org.metaflowmaps.training.metrics.TensorBoardWriter;
import org.metaflowmaps.training.optim.AdamW;
import org.metaflowmaps.training.optim.MovingAverage;
import org.metaflowmaps.training.optim.Optimizer;
import org.metaflowmaps.training.optim.RAdam;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Trains a meta flow map from a configuration and writes checkpoints and metrics to a folder. It builds network,
 * teacher, objective, optimisers, moving average and checkpoints for a {@link Trainer}.
 */
public final class TrainingRun implements AutoCloseable {
    /** The name of the metrics file in a run's folder. */
    public static final String METRICS = "metrics.jsonl";

    private static final Logger LOG = LoggerFactory.getLogger(TrainingRun.class);

    private final TrainConfig config;
    private final TrainingData data;
    private final Device device;
    private final RandomSource random;
    private final MetaFlowMap map;
    private final List<Optimizer> optimizers;
    private final Teacher teacher;
    private final MovingAverage average;
    private final MetaFlowMap averaged;
    private final FlowMapObjective objective;
    private final Trainer<Draw> trainer;
    private final RunFolder files;
    private final HeldOut heldOut;
    private @Nullable PictureGrid pictures;

    /**
     * Makes a run before its first step.
     *
     * @param config the settings
     * @param data the data; not owned
     * @param device the device of the computation
     * @param folder the folder for results; made if missing
     * @throws IOException if the teacher's file is missing or damaged
     * @throws IllegalArgumentException if the network does not fit the data, or the teacher the network, or if this
     *     machine has no memory for the run
     */
    public TrainingRun(TrainConfig config, TrainingData data, Device device, Path folder) throws IOException {
        this(config, data, null, device, folder);
    }

    /**
     * Makes a run before its first step, distilled from any conditional drift;
     * {@link org.metaflowmaps.models.drift.Glass} makes one of an unconditional drift. Checkpoints do not contain this
     * drift: pass the same one to continue.
     *
     * @param config the settings
     * @param data the data; not owned
     * @param given the teacher if {@code teacher.kind} is given, for items on this device; stays the caller's. Null
     *     otherwise
     * @param device the device of the computation
     * @param folder the folder for results; made if missing
     * @throws IOException if the teacher's file is missing or damaged
     * @throws IllegalArgumentException if the network does not fit the data, the teacher does not fit the network, or
     *     {@code given} does not match {@code teacher.kind}
     */
    public TrainingRun(
            TrainConfig config, TrainingData data, @Nullable ConditionalDrift given, Device device, Path folder)
            throws IOException {
        this.config = config;
        this.data = data;
        this.device = device;
        RunPrice.require(config, device);
        if (config.precision() == Precision.BFLOAT16 && device.type() == Device.Type.CPU && !Processor.hasBfloat16()) {
            LOG.warn("warning: precision bfloat16 is less exact than float32, and slower on processors without"
                    + " instructions for it, as this one seems to be: set precision=float32, unless you test a"
                    + " configuration for a GPU");
        }
        this.heldOut = new HeldOut(config, data, device);
        this.random = Seeds.source(config.seed(), Seeds.NOISE, device);
        this.map = config.model().network().initialised(device, random);
        try {
            requireFit();
            this.teacher = Teacher.open(config, given, map, device);
            if (config.precision() == Precision.BFLOAT16) {
                teacher.narrow();
            }
        } catch (IOException | RuntimeException e) {
            map.close();
            random.close();
            throw e;
        }
        this.average = new MovingAverage(
                map.parameters(), config.average().decay(), config.average().start());
        this.averaged = map.boundTo(average.values());
        this.objective = new FlowMapObjective(config, map, averaged, teacher.drift(), random);
        this.optimizers = objective.parameters().stream().map(this::optimizer).toList();
        this.files = new RunFolder(
                folder,
                identity(config, data),
                config.checkpointKeep(),
                config.checkpointKeepEvery(),
                new RunState(map, average, random, optimizers, objective));
        // A drift of the caller may not allow concurrent calls.
        int slices = given == null ? config.slicesOn(device) : 1;
        this.trainer = new Trainer<>(
                objective, data, optimizers, Optional.of(average), TrainerSettings.of(config, slices), files);
    }

    private static RunIdentity identity(TrainConfig config, TrainingData data) {
        RunIdentity plain = RunIdentity.of(config, data.classNames());
        return data.latents().map(plain::withLatents).orElse(plain);
    }

    private void requireFit() {
        if (!map.itemShape().equals(data.itemShape()) || map.classes() != data.classes()) {
            throw new IllegalArgumentException("config: the network takes items of shape " + map.itemShape() + " with "
                    + map.classes() + " classes, the data has "
                    + data.itemShape() + " with " + data.classes() + ": set "
                    + (config.model().mlp() != null
                            ? "model.mlp.dimension and label_dim"
                            : "model.transformer.input_size, in_channels and label_dim")
                    + " to the data's values, or to null in a configuration file");
        }
    }

    private Optimizer optimizer(ParameterArena arena) {
        OptimizerConfig rule = config.optimizer();
        return switch (rule.kind()) {
            case RADAM -> new RAdam(arena, rule.beta1(), rule.beta2(), rule.eps());
            case ADAMW -> new AdamW(arena, rule.beta1(), rule.beta2(), rule.eps(), rule.weightDecay());
        };
    }

    /**
     * Loads the initial weights from the configuration's {@code init} file, if given (method §10.2).
     *
     * @throws IOException if the file is missing or damaged, or another run writes to the folder
     * @throws IllegalArgumentException if the file's network does not fit
     */
    public void initialise() throws IOException {
        String file = config.init();
        if (file != null) {
            try (MetaFlowMap source = Networks.load(Path.of(file), config.model(), device)) {
                Initialisation.from(source, map);
            }
            average.restart();
        }
        files.lock();
    }

    /** Sets the drawing of pictures at {@code evaluate_every}; without this call no picture is drawn. */
    public void pictures(PictureGrid grid) {
        pictures = grid;
    }

    /** Returns the trained network, owned by this run. */
    public MetaFlowMap map() {
        return map;
    }

    /** Returns the moving average of its weights, owned by this run. */
    public MovingAverage average() {
        return average;
    }

    /** Returns the frozen network with the averaged weights, a view of {@link #average}; owned by this run. */
    public MetaFlowMap averaged() {
        return averaged;
    }

    /** Returns the steps taken so far, including those before a resume. */
    public long step() {
        return trainer.step();
    }

    /** Takes one step: see {@link Trainer#takeStep}. */
    void takeStep() {
        trainer.takeStep();
    }

    /** Returns the captured steps, for tests: see {@link Trainer#graphs}. */
    Optional<StepGraph> graphs() {
        return trainer.graphs();
    }

    /** Takes one step and reads its results: see {@link Trainer#takeStepAndRead}. */
    Trainer.Report takeStepAndRead() {
        return trainer.takeStepAndRead();
    }

    /** Writes a checkpoint, unless a weight is not finite. */
    void save() throws IOException {
        trainer.save();
    }

    /**
     * Continues from the folder's newest undamaged checkpoint; damaged ones are logged and skipped.
     *
     * @throws IOException if there is no checkpoint, it is not of this run, or another run writes to the folder; the
     *     run is then unchanged
     */
    public void resume() throws IOException {
        RunFolder.Resumed resumed = files.restore(trainer);
        if (resumed.olderLosses()
                && step() < config.steps()
                && FlowMapObjective.alphaFlowChanged(config.loss(), step())) {
            LOG.warn(
                    "warning: {} was written with version 1 of the losses: from step {} on, alpha-flow has the"
                            + " target of version 2, which gives other gradients under every"
                            + " loss.consistency_weighting but l2 (docs/losses.md). To train all steps alike, start"
                            + " the run again with another --out",
                    resumed.file(),
                    step());
        }
    }

    /** {@link #run(RunListener)} without a listener. */
    public boolean run() throws IOException {
        return run(new RunListener() {});
    }

    /**
     * Trains to the configuration's last step, with metrics and checkpoints.
     *
     * @param listener called after each step's metrics are written
     * @return true if the last step was taken, false if the run was {@linkplain #stop stopped} before
     * @throws IOException if a file cannot be written
     * @throws TrainingException if too many steps in a row had to be skipped
     * @throws IllegalArgumentException if the resumed run has already taken more than {@code steps}
     */
    public boolean run(RunListener listener) throws IOException {
        return files.run(trainer, config.evaluateEvery(), this::look, listener);
    }

    private Map<String, Double> look(TensorBoardWriter board, long step) throws IOException {
        Map<String, Double> found = new LinkedHashMap<>();
        double error = heldOut.error(averaged);
        if (!Double.isNaN(error)) {
            found.put(HeldOut.ERROR, error);
        }
        heldOut.picture(averaged, pictures, board, step);
        return found;
    }

    /** Makes {@link #run} end after the current step, with a checkpoint. Safe to call from any thread. */
    public void stop() {
        trainer.stop();
    }

    @Override
    public void close() {
        trainer.close();
        optimizers.forEach(Optimizer::close);
        objective.close();
        teacher.close();
        averaged.close();
        average.close();
        map.close();
        random.close();
        files.close();
    }
}
