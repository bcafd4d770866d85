package org.metaflowmaps.steering.finetune;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LoadedNetwork;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.AtomicFile;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.training.CheckpointFolder;
import org.metaflowmaps.training.RunFolder;
import org.metaflowmaps.training.RunIdentity;
import org.metaflowmaps.training.RunListener;
import org.metaflowmaps.training.RunState;
import org.metaflowmaps.training.Trainer;
import org.metaflowmaps.training.TrainerSettings;
import org.metaflowmaps.training.TrainingException;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.data.Seeds;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.metrics.TensorBoardWriter;
import org.metaflowmaps.training.optim.MovingAverage;
import org.metaflowmaps.training.optim.RAdam;
import org.metaflowmaps.training.optim.WarmUp;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Fine-tunes a meta flow map's drift to a tilted law, and writes checkpoints and metrics to a folder like a training
 * run. The averaged student can be loaded like any network, and the run can resume from its last checkpoint.
 *
 * <p>Only the drift v(t, t, x; 0, 0, y) is trained, so sample the student by its ODE. For a tilted map with few steps,
 * distil one with the student as teacher (method §9.3).
 *
 * <p>Thread safety: one thread at a time; any thread may call {@link #stop}.
 */
public final class FineTuning implements AutoCloseable {
    /** The file name of the checkpoint with the best independent reward. */
    public static final String BEST = "best.safetensors";

    /** The independent reward's name in the metrics; it is that of the averaged weights. */
    public static final String INDEPENDENT = "average/independent_reward";

    private static final Logger LOG = LoggerFactory.getLogger(FineTuning.class);

    /** A stream of seeds that differs from those of data and noise. */
    private static final long SHIFT_STREAM = -0x7368696674L;

    private final FineTuneConfig config;
    private final TrainingData data;
    private final Tilt tilt;
    private final @Nullable IndependentReward independent;
    private final Device device;
    private final Path folder;
    private final MetaFlowMap base;
    private final MetaFlowMap student;
    private final RandomSource random;
    private final MovingAverage average;
    private final MetaFlowMap averaged;
    private final RewardMonitor monitor;
    private final FineTuneObjective objective;
    private final RAdam optimizer;
    private final RunFolder files;
    private final Trainer<FineTuneDraw> trainer;
    private boolean begun;

    /**
     * Makes a run before its first step.
     *
     * @param base the meta flow map, on the device; not changed, and not owned
     * @param data the data of the states; not owned
     * @param tilt λ·r of the learned law
     * @param config the settings
     * @param independent evaluated every {@code evaluateEvery} steps; empty for none
     * @param device the device of the computation
     * @param folder the folder for results; made when the run begins
     * @throws IllegalArgumentException if data, reward or guidance scale do not fit the map
     */
    public FineTuning(
            LoadedNetwork base,
            TrainingData data,
            Tilt tilt,
            FineTuneConfig config,
            Optional<IndependentReward> independent,
            Device device,
            Path folder) {
        requireFit(base.map(), data, config.loss());
        FineTuneObjective.requireFit(base.map(), tilt, config.loss());
        this.config = config;
        this.data = data;
        this.tilt = tilt;
        this.independent = independent.orElse(null);
        this.device = device;
        this.folder = Preconditions.checkNotNull(folder, "fine-tuning: the folder is null");
        TrainerSettings settings = settings(config);
        this.base = base.map().frozen();
        if (config.precision() == Precision.BFLOAT16) {
            this.base.parameters().narrow();
        }
        this.student = BaseMap.student(base, device);
        this.random = Seeds.source(config.seed(), Seeds.NOISE, device);
        this.average = new MovingAverage(student.parameters(), config.averageDecay(), config.averageStart());
        this.averaged = student.boundTo(average.values());
        this.monitor = new RewardMonitor(config.patience(), config.lowering(), device);
        this.objective = new FineTuneObjective(
                student, new NetworkDrift(this.base, false), this.base, tilt, config.loss(), random, monitor);
        this.optimizer = new RAdam(student.parameters(), 0.9, 0.999, 1e-8);
        RunIdentity plain = RunIdentity.of(
                BaseMap.config(base), identity(tilt), data.classNames(), (long) config.batch() * config.accumulate());
        this.files = new RunFolder(
                folder,
                data.latents().map(plain::withLatents).orElse(plain),
                config.checkpointKeep(),
                0,
                new RunState(student, average, random, List.of(optimizer), objective));
        this.trainer = new Trainer<>(objective, data, List.of(optimizer), Optional.of(average), settings, files);
    }

    private static void requireFit(MetaFlowMap map, TrainingData data, FineTuneLoss loss) {
        Preconditions.checkArgument(
                map.itemShape().equals(data.itemShape()) && (map.classes() == 0 || map.classes() == data.classes()),
                "fine-tuning: the map takes items of shape %s with %s classes, the data has %s with %s: use the data"
                        + " that the map was trained on",
                map.itemShape(),
                map.classes(),
                data.itemShape(),
                data.classes());
        List<Double> scales = map.guidanceScales();
        for (double scale : new double[] {loss.guidance(), loss.drawGuidance()}) {
            Preconditions.checkArgument(
                    scales.isEmpty() || scale == 1 || scales.contains(scale),
                    "fine-tuning: guidance is %s, expected one of the map's scales %s: for another one it"
                            + " would use the nearest row",
                    scale,
                    scales);
        }
    }

    static TrainerSettings settings(FineTuneConfig config) {
        WarmUp rate = new WarmUp(config.learningRate(), config.warmUp());
        return new TrainerSettings(
                config.steps(),
                config.batch(),
                config.accumulate(),
                1,
                config.logEvery(),
                config.checkpointEvery(),
                config.clip(),
                config.skipAbove(),
                config.maxSkipped(),
                config.precision(),
                rate::at,
                false,
                config.graphs(),
                config.recompute());
    }

    /**
     * Returns the settings that must not change when the run resumes. Length, learning rate and bounds may change, as
     * for a training run.
     */
    private Map<String, Object> identity(Tilt tilt) {
        FineTuneLoss loss = config.loss();
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("kind", "fine-tuning");
        settings.put("seed", config.seed());
        settings.put("batch", config.batch());
        settings.put("accumulate", config.accumulate());
        settings.put("label_drop", loss.labelDrop());
        settings.put("guidance", loss.guidance());
        settings.put("draw_guidance", loss.drawGuidance());
        settings.put("precision", config.precision());
        settings.put("base_crc32c", BaseMap.checksum(base));
        settings.put("reward", tilt.reward().description());
        settings.put("strength", tilt.strength());
        settings.put("anneal", loss.anneal());
        settings.put("form", loss.form().name());
        settings.put("variance", loss.variance());
        settings.put("trust", loss.trust());
        settings.put("weight_clip", loss.weightClip());
        settings.put("window", loss.window());
        settings.put("time_mean", loss.timeMean());
        settings.put("time_deviation", loss.timeDeviation());
        settings.put("average_decay", config.averageDecay());
        settings.put("average_start", config.averageStart());
        return settings;
    }

    /** Returns the steps taken so far, including those before a resume. */
    public long step() {
        return trainer.step();
    }

    /** Returns the student with averaged weights, frozen; owned by this run. */
    public MetaFlowMap averaged() {
        return averaged;
    }

    /**
     * Continues from the folder's newest undamaged checkpoint; damaged ones are logged and skipped.
     *
     * @throws IOException if there is no checkpoint, it is not of this run, or another run writes to the folder; the
     *     run is then unchanged
     */
    public void resume() throws IOException {
        files.resume(trainer);
        begun = true;
    }

    /**
     * Trains to the configuration's last step, with metrics and checkpoints.
     *
     * @param listener called after each step's metrics are written
     * @return true if the last step was taken; false if the run was {@linkplain #stop stopped}, also by the independent
     *     reward
     * @throws IOException if a file cannot be written
     * @throws TrainingException if too many steps in a row were skipped
     */
    public boolean run(RunListener listener) throws IOException {
        begin();
        if (monitor.isStopped()) {
            trainer.stop();
        }
        try {
            return files.run(trainer, independent == null ? 0 : config.evaluateEvery(), new Look(), listener);
        } catch (TrainingException e) {
            String diagnosis = tilt.diagnosis();
            if (!diagnosis.isEmpty()) {
                LOG.warn(
                        "warning: step {}: reward {}: {}", step(), tilt.reward().name(), diagnosis);
            }
            throw e;
        }
    }

    /** Takes one step: see {@link Trainer#takeStep}. */
    void takeStep() {
        begin();
        trainer.takeStep();
    }

    /** Takes one step and reads its results: see {@link Trainer#takeStepAndRead}. */
    Trainer.Report takeStepAndRead() {
        begin();
        return trainer.takeStepAndRead();
    }

    void save() throws IOException {
        trainer.save();
    }

    /** Sets the shifts, once per run. */
    private void begin() {
        if (begun) {
            return;
        }
        begun = true;
        try (TensorScope scope = TensorScope.open();
                RandomSource own = Seeds.source(config.seed(), SHIFT_STREAM, device)) {
            int count = config.shiftItems();
            TrainingData.Batch found = data.examples(count);
            TrainingData.Batch all = found == null ? data.batch(0, count) : found;
            long items = all.items().size(0);
            for (long from = 0; from < items; from += config.batch()) {
                try (TensorScope part = TensorScope.open()) {
                    long size = Math.min(config.batch(), items - from);
                    objective.warmUp(
                            new TrainingData.Batch(
                                    all.items().narrow(0, from, size),
                                    all.labels().narrow(0, from, size)),
                            own);
                }
            }
        }
    }

    /** The run's additional metrics. */
    private final class Look implements RunFolder.Look {
        @Override
        public Map<String, Double> at(TensorBoardWriter board, long step) throws IOException {
            if (independent == null) {
                return Map.of();
            }
            IndependentReward.Result result = independent.measure(averaged, step);
            Map<String, Double> metrics = new LinkedHashMap<>();
            if (result.score().isPresent()) {
                metrics.put(INDEPENDENT, observed(result.score().getAsDouble(), step));
            }
            metrics.putAll(result.metrics());
            return metrics;
        }

        @Override
        public Map<String, Double> line() {
            return objective.readStatistics();
        }
    }

    private double observed(double score, long step) throws IOException {
        switch (monitor.observe(score)) {
            case BEST -> keepBest();
            case CONTINUE -> {}
            case LOWERED ->
                LOG.warn(
                        "warning: step {}: the independent reward was below its best {} times in a row, so the"
                                + " strength is multiplied by {}",
                        step,
                        config.patience(),
                        config.lowering());
            case STOP -> {
                LOG.warn(
                        "warning: step {}: the independent reward was below its best {} times in a row, so the run"
                                + " stops",
                        step,
                        config.patience());
                trainer.stop();
            }
        }
        return score;
    }

    /**
     * Saves a checkpoint under a second name. Saves nothing while steps are skipped, because the weights may be the
     * cause.
     */
    private void keepBest() throws IOException {
        if (trainer.progress().skippedInRow() == 0) {
            trainer.save();
            AtomicFile.link(new CheckpointFolder(folder).newest(), folder.resolve(BEST));
        }
    }

    /** Makes {@link #run} end after the current step, with a checkpoint. Safe to call from any thread. */
    public void stop() {
        trainer.stop();
    }

    @Override
    public void close() {
        trainer.close();
        optimizer.close();
        objective.close();
        monitor.close();
        averaged.close();
        average.close();
        student.close();
        base.close();
        random.close();
        files.close();
    }
}
