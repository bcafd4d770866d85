package org.metaflowmaps.training;

import com.google.common.base.Preconditions;
import com.google.common.base.Throwables;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.Initialisation;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.ProfilerRange;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.DamagedItemException;
import org.metaflowmaps.training.data.DataConfig;
import org.metaflowmaps.training.data.Seeds;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.Weighting;
import org.metaflowmaps.training.metrics.MetricsLog;
import org.metaflowmaps.training.metrics.ProcessMemory;
import org.metaflowmaps.training.metrics.Progress;
import org.metaflowmaps.training.metrics.TensorBoardWriter;
import org.metaflowmaps.training.optim.AdamW;
import org.metaflowmaps.training.optim.Clipping;
import org.metaflowmaps.training.optim.MovingAverage;
import org.metaflowmaps.training.optim.Optimizer;
import org.metaflowmaps.training.optim.RAdam;
import org.metaflowmaps.training.optim.WarmUp;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Trains a meta flow map as a configuration says, and leaves checkpoints and metrics in a folder. */
public final class Trainer implements AutoCloseable {
    /** The metrics' name in a run's folder. */
    public static final String METRICS = "metrics.jsonl";

    private static final Logger LOG = LoggerFactory.getLogger(Trainer.class);
    private static final String EVENTS = "TensorBoard's events in ";

    private final TrainConfig config;
    private final TrainingData data;
    private final Path folder;
    private final Device device;
    private final RandomSource random;
    private final MetaFlowMap map;
    private final Optimizer optimizer;
    private final List<Optimizer> others;
    private final Teacher teacher;
    private final MovingAverage average;
    private final Objective objective;
    private final PairSampler sampler;
    private final CheckpointFolder checkpoints;
    private final SkippedSteps skipped;
    private @Nullable RunLock lock;
    private final HeldOut heldOut;
    private @Nullable PictureGrid pictures;
    private volatile boolean stopping;
    private long step;
    private long savedAt = -1;
    private long replacedBefore;
    private long replaced;

    /**
     * A run at its beginning.
     *
     * @param config what to do
     * @param data what to model; stays the caller's
     * @param device where to compute
     * @param folder where to leave results; made if missing
     * @throws IOException if the teacher's file is missing or damaged
     * @throws IllegalArgumentException if the network does not fit the data, or the teacher the network, or if this machine has no
     *     memory for the run
     */
    public Trainer(TrainConfig config, TrainingData data, Device device, Path folder) throws IOException {
        this(config, data, null, device, folder);
    }

    /**
     * A run at its beginning, distilled from any conditional drift; {@link org.metaflowmaps.models.drift.Glass} makes one of
     * an unconditional drift. Checkpoints say that it was given, not what it was: give the same one to continue.
     *
     * @param config what to do
     * @param data what to model; stays the caller's
     * @param given the teacher if {@code teacher.kind} is given, for items on this device; stays the caller's. Null otherwise
     * @param device where to compute
     * @param folder where to leave results; made if missing
     * @throws IOException if the teacher's file is missing or damaged
     * @throws IllegalArgumentException if the network does not fit the data, the teacher the network, or {@code teacher.kind}
     *     what is given
     */
    public Trainer(TrainConfig config, TrainingData data, @Nullable ConditionalDrift given, Device device, Path folder)
            throws IOException {
        this.config = config;
        this.data = data;
        this.folder = folder;
        this.device = device;
        long itemSize = Arrays.stream(data.itemShape()).reduce(1, Math::multiplyExact);
        RunPrice.of(config, itemSize).require(config, device);
        this.heldOut = new HeldOut(config, data, device);
        this.random = Seeds.source(config.seed(), Seeds.NOISE, device);
        this.map = config.model().network().initialised(device, random);
        if (!Arrays.equals(map.itemShape(), data.itemShape()) || map.classes() != data.classes()) {
            String network = Arrays.toString(map.itemShape()) + " with " + map.classes() + " classes";
            close(map, random);
            throw new IllegalArgumentException("config: the network takes items of shape " + network + ", the data has "
                    + Arrays.toString(data.itemShape()) + " with " + data.classes() + ": set "
                    + (config.model().mlp() != null ? "model.mlp.dimension and label_dim"
                    : "model.transformer.input_size, in_channels and label_dim") + " alike, or to null in a configuration file");
        }
        try {
            this.teacher = Teacher.open(config, given, map, device);
        } catch (IOException | RuntimeException e) {
            close(map, random);
            throw e;
        }
        this.optimizer = optimizer(map.parameters());
        this.average = new MovingAverage(map.parameters(), config.average().decay(), config.average().start());
        this.objective = new Objective(config, average, teacher.drift(), random);
        this.others = objective.parameters().stream().map(this::optimizer).toList();
        this.sampler = new PairSampler(config.times(), config.labelDrop(), config.guidance(), random);
        this.checkpoints = new CheckpointFolder(folder);
        this.skipped = new SkippedSteps(config.optimizer().skipAbove(), config.optimizer().maxSkipped());
    }

    private Optimizer optimizer(ParameterArena arena) {
        OptimizerConfig rule = config.optimizer();
        return switch (rule.kind()) {
            case RADAM -> new RAdam(arena, rule.beta1(), rule.beta2(), rule.eps());
            case ADAMW -> new AdamW(arena, rule.beta1(), rule.beta2(), rule.eps(), rule.weightDecay());
        };
    }

    /**
     * Takes the first weights from the configuration's file, if it names one (method §10.2).
     *
     * @throws IOException if the file is missing or damaged, or another run writes to the folder
     * @throws IllegalArgumentException if its network does not fit
     */
    public void initialise() throws IOException {
        String file = config.init();
        if (file != null) {
            try (MetaFlowMap source = Networks.load(Path.of(file), config.model(), device)) {
                Initialisation.from(source, map);
            }
            average.restart();
        }
        lock();
    }

    /** One run at a time writes to the folder, until this trainer is closed. */
    private void lock() throws IOException {
        if (lock == null) {
            lock = RunLock.take(folder);
        }
    }

    /** Draws the pictures of {@code evaluate_every} from now on; without this call no picture is drawn. */
    public void pictures(PictureGrid grid) {
        pictures = grid;
    }

    /** The network that is trained, owned by this trainer. */
    public MetaFlowMap map() {
        return map;
    }

    /** The moving average of its weights, owned by this trainer. */
    public MovingAverage average() {
        return average;
    }

    /** Steps taken so far, also before a resumption. */
    public long step() {
        return step;
    }

    /**
     * Continues from the folder's newest undamaged checkpoint; damaged ones are logged and skipped.
     *
     * @throws IOException if there is no checkpoint, it is not of this run, or another run writes to the folder; the run is then as it was
     */
    public void resume() throws IOException {
        if (Files.isDirectory(folder)) {
            lock();
        }
        Path file;
        try (CheckpointFolder.Valid newest = checkpoints.newestValid()) {
            file = newest.file();
            Checkpoint.Progress progress = Checkpoint.restore(newest.open(), file, config, data.classNames(), state());
            step = progress.step();
            others.forEach(other -> other.resumeAt(optimizer.steps()));
            skipped.resumeAt(progress.skipped(), progress.skippedInRow());
            replaced = progress.replaced();
            replacedBefore = replaced - data.replaced();
            savedAt = step;
            if (progress.olderLosses() && step < config.steps() && Objective.alphaFlowChanged(config.loss(), step)) {
                LOG.warn("warning: {} was written with version 1 of the losses: from step {} on, alpha-flow has the target of version 2, which "
                        + "gives other gradients under every loss.consistency_weighting but l2 (docs/losses.md). To train all steps alike, "
                        + "start the run again with another --out", file, step);
            }
        }
        checkpoints.continueFrom(file);
    }

    /** Writes a checkpoint, unless a weight is not finite. */
    void save() throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            // The loss was looked at before the last update; that alone can still break the weights.
            if (map.parameters().values().isFinite().all().item() == 0) {
                throw new TrainingException(String.format(Locale.ROOT,
                        "step %d: the weights are not finite any more. %s. Lower optimizer.learning_rate", step - 1, kept()));
            }
        }
        Checkpoint.Progress progress = new Checkpoint.Progress(step, skipped.total(), skipped.inRow(), replaced, false);
        checkpoints.save(step, config.checkpointKeep(), config.checkpointKeepEvery(),
                file -> Checkpoint.write(file, config, data.classNames(), state(), progress));
        savedAt = step;
    }

    private Checkpoint.State state() {
        Map<String, Tensor> more = new LinkedHashMap<>();
        for (int i = 0; i < others.size(); i++) {
            String name = "weighting" + i + "/";
            more.put(name + "values", objective.parameters().get(i).values());
            others.get(i).moments().forEach((moment, values) -> more.put(name + moment, values));
        }
        return new Checkpoint.State(map, optimizer, average, random, more);
    }

    /**
     * What a step computed, as numbers.
     *
     * @param diagonal plain error of the diagonal loss
     * @param consistency plain error of the consistency loss; NaN where it took no part
     * @param gradientNorm before clipping
     * @param learningRate of the step
     * @param skipped steps skipped so far, this one among them if it was
     */
    public record Report(double diagonal, double consistency, double gradientNorm, double learningRate, long skipped) {}

    /**
     * Takes one optimiser step, or skips it if its loss or gradient is not finite or too large: weights, moments and average then
     * stay as they are, while data and noise move on.
     *
     * @param read true to read the results back
     * @return the results, or null if they were not read
     * @throws TrainingException if too many steps in a row would be skipped; the weights are then those from before the first
     */
    public @Nullable Report step(boolean read) {
        ParameterArena arena = map.parameters();
        try (TensorScope scope = TensorScope.open()) {
            arena.gradients().zero_();
            objective.parameters().forEach(other -> other.gradients().zero_());
            Tensor diagonal = null;
            Tensor consistency = null;
            Tensor noiseBefore = config.accumulate() == 1 ? null : random.state();
            for (int part = 0; part < config.accumulate(); part++) {
                Losses losses = accumulate(part, noiseBefore);
                diagonal = sum(diagonal, losses.diagonal());
                consistency = sum(consistency, losses.consistency());
            }
            double clip = config.optimizer().clip();
            Tensor norm = Clipping.clip(arenas(), clip == 0 ? Double.POSITIVE_INFINITY : clip);
            // The one number that every step waits for, also on a GPU: the optimiser counts its updates on this side.
            boolean taken = skipped.take(probe(norm, diagonal, consistency).item());
            if (skipped.tooMany()) {
                throw tooManySkipped(report(diagonal, consistency, norm));
            }
            if (taken) {
                try (ProfilerRange range = ProfilerRange.open("optimizer")) {
                    optimizer.step(learningRate());
                    others.forEach(other -> other.step(learningRate()));
                    average.update(step);
                }
            }
            Report report = read ? report(diagonal, consistency, norm) : null;
            replaced = replacedBefore + data.replaced();
            step++;
            return report;
        }
    }

    private static @Nullable Tensor sum(@Nullable Tensor before, @Nullable Tensor other) {
        return before == null || other == null ? other : before.add(other);
    }

    /** Plain errors; no consistency where that loss takes no part. */
    private record Losses(@Nullable Tensor diagonal, @Nullable Tensor consistency) {}

    private Losses accumulate(int part, @Nullable Tensor noiseBefore) {
        try (TensorScope scope = TensorScope.open()) {
            long position = (step * config.accumulate() + part) * config.batch();
            TrainingData.Batch batch;
            try (ProfilerRange range = ProfilerRange.open("data")) {
                batch = data.batch(position, config.batch());
            } catch (UncheckedIOException | OutOfMemoryError e) {
                if (noiseBefore != null) {
                    // Earlier parts drew noise: the step is to be taken again as if it had not begun.
                    random.restore(noiseBefore);
                }
                throw e;
            }
            Context context = sampler.context(batch, map, step);
            Tensor diagonal = differentiated(() -> objective.diagonal(map, batch, context, sampler));
            Tensor consistency = differentiated(() -> objective.consistency(map, batch, context, sampler, step));
            return new Losses(diagonal == null ? null : scope.keep(diagonal), consistency == null ? null : scope.keep(consistency));
        }
    }

    /** Adds a loss's gradient, which frees its graph, so that two losses never hold theirs at once; returns its plain error. */
    private @Nullable Tensor differentiated(Supplier<Weighting.@Nullable Weighted> loss) {
        try (TensorScope scope = TensorScope.open()) {
            Weighting.Weighted weighted;
            try (ProfilerRange range = ProfilerRange.open("losses");
                    Autocast mode = config.precision().on(device)) {
                weighted = loss.get();
            }
            if (weighted == null) {
                return null;
            }
            try (ProfilerRange range = ProfilerRange.open("backward")) {
                Autograd.backward(config.accumulate() == 1 ? weighted.loss() : weighted.loss().div(config.accumulate()));
            }
            return scope.keep(weighted.raw());
        }
    }

    /** Everything that is trained: the map, then learned weightings. */
    private List<ParameterArena> arenas() {
        return Stream.concat(Stream.of(map.parameters()), objective.parameters().stream()).toList();
    }

    /** The norm, or NaN where a loss is not finite. */
    private Tensor probe(Tensor norm, @Nullable Tensor diagonal, @Nullable Tensor consistency) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            Tensor probe = diagonal == null ? norm : norm.add(diagonal.mul(0));
            return consistency == null ? probe : probe.add(consistency.mul(0));
        }
    }

    private Report report(@Nullable Tensor diagonal, @Nullable Tensor consistency, Tensor norm) {
        double parts = config.accumulate();
        return new Report(diagonal == null ? Double.NaN : diagonal.item() / parts,
                consistency == null ? Double.NaN : consistency.item() / parts, norm.item(), learningRate(), skipped.total());
    }

    private TrainingException tooManySkipped(Report last) {
        double above = config.optimizer().skipAbove();
        return new TrainingException(String.format(Locale.ROOT,
                "step %d: the loss or its gradient is not finite%s, %d steps in a row (now diagonal %s, consistency %s, gradient norm %s). "
                        + "%s. Lower optimizer.learning_rate, set optimizer.clip, or check the data",
                step, above == 0 ? "" : " or above optimizer.skip_above = " + above, skipped.inRow(), last.diagonal, last.consistency,
                last.gradientNorm, kept()));
    }

    private String kept() {
        return Files.exists(folder.resolve(CheckpointFolder.CHECKPOINT))
                ? "The last good checkpoint is " + folder.resolve(CheckpointFolder.CHECKPOINT)
                : "No checkpoint was written yet";
    }

    private double learningRate() {
        OptimizerConfig rule = config.optimizer();
        double rate = new WarmUp(rule.learningRate(), rule.warmUp()).at(step);
        long decay = Math.min(rule.decay(), config.steps());
        long left = Math.max(0, config.steps() - step);
        return left < decay ? rate * left / decay : rate;
    }

    /**
     * Trains to the configuration's last step, with metrics, checkpoints and a display of progress.
     *
     * @return true if the last step was taken, false if the run was {@linkplain #stop stopped} before
     * @throws IOException if a file cannot be written
     * @throws TrainingException if too many steps in a row had to be skipped
     * @throws IllegalArgumentException if more steps were taken before a resumption than there are to take
     */
    public boolean run() throws IOException {
        Preconditions.checkArgument(step <= config.steps(), "config: steps is %s, but the checkpoint has taken %s already",
                config.steps(), step);
        Files.createDirectories(folder);
        lock();
        checkpoints.deleteAbandoned();
        if (step == 0) {
            TensorBoardWriter.setAside(folder);
        }
        long resumedAt = step;
        long started = System.nanoTime();
        // On the CPU every step can be looked at for free.
        boolean readAll = device.type() == Device.Type.CPU;
        try (MetricsLog metrics = MetricsLog.open(folder.resolve(METRICS), resumedAt);
                TensorBoardWriter board = TensorBoardWriter.onFirstValue(folder, resumedAt);
                Progress progress = Progress.start("train", config.steps(), resumedAt)) {
            List<MetricsLog.Entry> earlier = MetricsLog.read(folder.resolve(METRICS));
            double secondsBefore = earlier.isEmpty() ? 0 : earlier.getLast().seconds();
            boolean due = false;
            if (resumedAt == 0) {
                board.scalar("model/parameters", 0, (double) map.parameters().count());
            }
            while (step < config.steps() && !stopping) {
                boolean looks = config.evaluateEvery() > 0 && (step + 1) % config.evaluateEvery() == 0;
                // A look's numbers are written at once: a stop before the next line would lose them.
                boolean log = looks || (step + 1) % config.logEvery() == 0 || step + 1 == config.steps();
                due |= (step + 1) % config.checkpointEvery() == 0;
                Report report = stepOrSave(readAll || log);
                Look look = looks ? look(board) : Look.NONE;
                if (log && report != null) {
                    double seconds = (System.nanoTime() - started) * 1e-9;
                    Map<String, Double> values = values(report, (step - resumedAt) / seconds);
                    values.putAll(look.found);
                    record(metrics, board, new MetricsLog.Entry(step, secondsBefore + seconds, values));
                    String jump = Double.isNaN(report.consistency) ? "" : String.format(Locale.ROOT, " consistency %.4f",
                            report.consistency);
                    String missing = report.skipped == 0 ? "" : " skipped " + report.skipped;
                    progress.update(step, String.format(Locale.ROOT, "diagonal %.4f", report.diagonal) + jump + missing);
                } else {
                    progress.update(step, "");
                }
                if (look.failure != null) {
                    throw saved(look.failure);
                }
                // Do not save while steps are skipped: saving would evict a good checkpoint.
                if (due && skipped.inRow() == 0) {
                    save();
                    due = false;
                }
            }
            if (savedAt != step && !skipped.broken()) {
                save();
            }
        }
        if (skipped.broken() && !stopping) {
            throw new TrainingException(String.format(Locale.ROOT,
                    "step %d: the run is over, but the gradients of its last %d steps were not finite, so "
                    + "its weights are not saved. %s. Lower optimizer.learning_rate, or set optimizer.clip", step,
                    skipped.inRow(), kept()));
        }
        return step == config.steps();
    }

    private void record(MetricsLog metrics, TensorBoardWriter board, MetricsLog.Entry entry) throws IOException {
        Path file = folder.resolve(METRICS);
        try {
            metrics.append(entry);
            if (!Files.exists(file)) {
                throw new IOException("it was deleted or moved while the run wrote to it");
            }
        } catch (IOException e) {
            throw unwritable(file.toString(), e);
        }
        try {
            for (Map.Entry<String, Double> value : entry.values().entrySet()) {
                board.scalar(value.getKey(), step, value.getValue());
            }
        } catch (IOException e) {
            throw unwritable(EVENTS + folder, e);
        }
    }

    /** Where records cannot be written, the work done is still worth a checkpoint. */
    private IOException unwritable(String what, IOException failure) {
        String saved;
        try {
            if (skipped.inRow() == 0) {
                save();
            }
            saved = kept();
        } catch (IOException | RuntimeException again) {
            failure.addSuppressed(again);
            saved = "A checkpoint could not be written either (" + again.getMessage() + ")";
        }
        return new IOException("step " + step + ": cannot write " + what + " (" + failure.getMessage() + "). " + saved
                + ". Make room on the disk or put the folder back, then continue with --resume", failure);
    }

    /** A step; where its data cannot be read, a checkpoint comes first, as the run is over. */
    private @Nullable Report stepOrSave(boolean read) throws IOException {
        try {
            return step(read);
        } catch (UncheckedIOException | OutOfMemoryError e) {
            if (savedAt != step && skipped.inRow() == 0) {
                save();
            }
            if (e instanceof OutOfMemoryError) {
                throw e;
            }
            boolean skips = config.data().onError() == DataConfig.OnError.SKIP;
            throw new TrainingException("step " + step + ": " + e.getMessage()
                    + (skips || !(e.getCause() instanceof DamagedItemException) ? ""
                            : ", or set data.on_error=skip to skip such items")
                    + ". " + kept() + (savedAt == step ? ": continue from it with --resume" : ""), e);
        }
    }

    /** Asks {@link #run} to end after the step it is in, with a checkpoint. Safe to call from any thread. */
    public void stop() {
        stopping = true;
    }

    /**
     * What a look found.
     *
     * @param found its numbers by their names
     * @param failure why it ends the run, thrown once the step's own numbers are written; null if it does not
     */
    private record Look(Map<String, Double> found, @Nullable Throwable failure) {
        private static final Look NONE = new Look(Map.of(), null);
    }

    /** Measures and shows the moving average. If a held-out item is damaged and damage is skipped, warns and finds nothing. */
    private Look look(TensorBoardWriter board) throws IOException {
        try {
            return new Look(measured(board), null);
        } catch (UncheckedIOException | OutOfMemoryError e) {
            if (e.getCause() instanceof DamagedItemException && config.data().onError() == DataConfig.OnError.SKIP) {
                LOG.warn("warning: step {}: the held-out items were not measured: {}", step, e.getMessage());
                return Look.NONE;
            }
            return new Look(Map.of(), e);
        }
    }

    /** Saves a checkpoint, as a look has failed and ends the run. */
    private TrainingException saved(Throwable failure) throws IOException {
        if (savedAt != step && skipped.inRow() == 0) {
            save();
        }
        Throwables.throwIfInstanceOf(failure, OutOfMemoryError.class);
        return new TrainingException("step " + step + ": " + failure.getMessage() + ". " + kept(), failure);
    }

    private Map<String, Double> measured(TensorBoardWriter board) throws IOException {
        Map<String, Double> found = new LinkedHashMap<>();
        IOException[] failure = new IOException[1];
        average.applied(() -> {
            double error = heldOut.error(map);
            if (!Double.isNaN(error)) {
                found.put(HeldOut.ERROR, error);
            }
            try {
                heldOut.picture(map, pictures, board, step);
            } catch (IOException e) {
                failure[0] = e;
            }
        });
        if (failure[0] != null) {
            throw unwritable(EVENTS + folder, failure[0]);
        }
        return found;
    }

    private Map<String, Double> values(Report report, double stepsPerSecond) {
        Map<String, Double> values = new LinkedHashMap<>();
        values.put("loss/diagonal", report.diagonal);
        if (!Double.isNaN(report.consistency)) {
            values.put("loss/consistency", report.consistency);
        }
        values.put("gradient_norm", report.gradientNorm);
        values.put("learning_rate", report.learningRate);
        values.put("skipped", (double) report.skipped);
        if (config.data().onError() == DataConfig.OnError.SKIP) {
            values.put("items_replaced", (double) replaced);
        }
        values.put("items_per_second", stepsPerSecond * config.batch() * config.accumulate());
        ProcessMemory.resident().ifPresent(bytes -> values.put("memory/resident", (double) bytes));
        ProcessMemory.peak().ifPresent(bytes -> values.put("memory/peak", (double) bytes));
        return values;
    }

    private static void close(MetaFlowMap map, RandomSource random) {
        map.close();
        random.close();
    }

    @Override
    public void close() {
        others.forEach(Optimizer::close);
        objective.close();
        teacher.close();
        average.close();
        optimizer.close();
        close(map, random);
        if (lock != null) {
            lock.close();
        }
    }
}
