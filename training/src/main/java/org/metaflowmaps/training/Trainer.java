package org.metaflowmaps.training;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.cuda.StepGraph;
import org.metaflowmaps.training.data.DamagedItemException;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.optim.MovingAverage;
import org.metaflowmaps.training.optim.Optimizer;

/**
 * Trains the parameters of an objective in a loop of steps with checkpoints and a listener. {@link TrainingRun} builds
 * one from a configuration.
 *
 * <p>Thread safety: one thread at a time; any thread may call {@link #stop}.
 *
 * @param <D> the objective's draws
 */
public final class Trainer<D> implements AutoCloseable {
    private final Objective<D> objective;
    private final TrainingData data;
    private final TrainerSettings settings;
    private final Checkpoints checkpoints;
    private final StepRunner<D> runner;
    private final SkippedSteps skipped;
    private volatile boolean stopping;
    private long step;
    private long savedAt = -1;
    private long replacedBefore;
    private long replaced;

    /**
     * Makes a trainer before its first step. The caller keeps the arguments and closes them after this trainer.
     *
     * @param objective the parameters and losses
     * @param data the training data
     * @param optimizers one for each of the objective's arenas, in their order
     * @param average updated with the first arena's values after each step; empty for none
     * @param settings the settings
     * @param checkpoints saves the state
     * @throws IllegalArgumentException unless there is one optimiser for each arena
     */
    public Trainer(
            Objective<D> objective,
            TrainingData data,
            List<Optimizer> optimizers,
            Optional<MovingAverage> average,
            TrainerSettings settings,
            Checkpoints checkpoints) {
        this.objective = objective;
        this.data = data;
        this.settings = settings;
        this.checkpoints = checkpoints;
        this.runner = new StepRunner<>(objective, data, optimizers, average.orElse(null), settings);
        this.skipped = runner.skipped();
    }

    /** Returns the steps taken so far, including those before a resume. */
    public long step() {
        return step;
    }

    /** Returns the run's progress; reads the counts of skipped steps from the device. */
    public Progress progress() {
        skipped.read();
        return new Progress(step, skipped.total(), skipped.inRow(), replaced);
    }

    /** Continues from a progress after its state was restored. */
    public void resumeAt(Progress progress) {
        step = progress.step();
        savedAt = step;
        skipped.resumeAt(progress.skipped(), progress.skippedInRow());
        replaced = progress.replaced();
        replacedBefore = replaced - data.replaced();
    }

    /**
     * The results of a step as numbers.
     *
     * @param errors of the computed losses, by name
     * @param gradientNorm before clipping
     * @param learningRate of the step
     * @param skipped steps skipped so far, including this one
     */
    public record Report(Map<String, Double> errors, double gradientNorm, double learningRate, long skipped) {
        /** Keeps the order of the errors. */
        public Report {
            errors = Collections.unmodifiableMap(new LinkedHashMap<>(errors));
        }

        /** Returns the error of a loss; NaN if it was not computed. */
        public double error(String name) {
            return errors.getOrDefault(name, Double.NaN);
        }
    }

    /**
     * Takes one optimiser step, or skips it if its loss or gradient is not finite or too large: parameters, moments and
     * average are then unchanged, while data and noise advance. Nothing is read back to the host.
     */
    public void takeStep() {
        try (TensorScope scope = TensorScope.open()) {
            runner.step(step);
            countStep();
        }
    }

    /**
     * As {@link #takeStep}, and reads the results back to the host.
     *
     * @throws TrainingException if too many steps in a row were skipped; this step then does not count as taken
     */
    public Report takeStepAndRead() {
        try (TensorScope scope = TensorScope.open()) {
            Report report = report(runner.step(step));
            countStep();
            return report;
        }
    }

    private void countStep() {
        replaced = replacedBefore + data.replaced();
        step++;
    }

    private Report report(StepRunner.Result result) {
        skipped.read();
        Map<String, Double> errors = new LinkedHashMap<>();
        result.errors().forEach((name, error) -> errors.put(name, error.item() / settings.accumulate()));
        Report report =
                new Report(errors, result.norm().item(), settings.learningRate().applyAsDouble(step), skipped.total());
        if (skipped.tooMany()) {
            throw tooManySkipped(report);
        }
        return report;
    }

    private TrainingException tooManySkipped(Report last) {
        StringBuilder now = new StringBuilder();
        last.errors.forEach(
                (name, error) -> now.append(name).append(' ').append(error).append(", "));
        return new TrainingException(String.format(
                Locale.ROOT,
                "step %d: the loss or its gradient is not finite%s, %d steps in a row (now %sgradient norm %s). "
                        + "%s. Lower optimizer.learning_rate, set optimizer.clip, or check the data",
                step,
                settings.skipAbove() == 0 ? "" : " or above optimizer.skip_above = " + settings.skipAbove(),
                skipped.longest(),
                now,
                last.gradientNorm,
                checkpoints.kept()));
    }

    /**
     * Saves a checkpoint, unless a parameter is not finite.
     *
     * @throws IOException if it cannot be written
     * @throws TrainingException if a parameter is not finite
     */
    public void save() throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            // The loss was checked before the last update, which can still break the weights.
            if (objective.parameters().getFirst().values().isFinite().all().item() == 0) {
                throw new TrainingException(String.format(
                        Locale.ROOT,
                        "step %d: the weights are not finite. %s. Lower optimizer.learning_rate",
                        step - 1,
                        checkpoints.kept()));
            }
        }
        checkpoints.save(progress());
        savedAt = step;
    }

    /** Saves a checkpoint before the run ends with an error, unless this step has one or the last step was skipped. */
    void saveBeforeEnd() throws IOException {
        if (savedAt != step && progress().skippedInRow() == 0) {
            save();
        }
    }

    /** Returns the number of damaged items replaced so far. */
    long replaced() {
        return replaced;
    }

    /** Returns the captured steps, for tests; empty if steps are not captured. */
    Optional<StepGraph> graphs() {
        return Optional.ofNullable(runner.captured()).map(CapturedSteps::graphs);
    }

    /** Returns the settings. */
    TrainerSettings settings() {
        return settings;
    }

    /** Names the last checkpoint, for messages. */
    String kept() {
        return checkpoints.kept();
    }

    /** Returns true if the last checkpoint is of this step. */
    boolean isSaved() {
        return savedAt == step;
    }

    /**
     * Trains to the last step, with checkpoints.
     *
     * @return true if the last step was taken, false if the run was {@linkplain #stop stopped} or cancelled before
     * @throws IOException if a checkpoint cannot be written, or the listener ends the run
     * @throws TrainingException if too many steps in a row were skipped
     */
    public boolean run(RunListener listener) throws IOException {
        try {
            listener.started(step, settings.steps());
            loop(listener);
        } finally {
            listener.ended();
        }
        if (skipped.broken() && step == settings.steps()) {
            throw new TrainingException(String.format(
                    Locale.ROOT,
                    "step %d: the run is over, but the gradients of its last %d steps were not finite, so "
                            + "its weights are not saved. %s. Lower optimizer.learning_rate, or set optimizer.clip",
                    step,
                    skipped.inRow(),
                    checkpoints.kept()));
        }
        return step == settings.steps();
    }

    private void loop(RunListener listener) throws IOException {
        boolean due = false;
        while (step < settings.steps() && !stopping && !listener.cancelled()) {
            long next = step + 1;
            due |= next % settings.checkpointEvery() == 0;
            boolean read = due || next % settings.readEvery() == 0 || next == settings.steps() || listener.reads(next);
            Report report = stepOrSave(read);
            listener.stepped(step, report);
            // Do not save while steps are skipped: saving would evict a good checkpoint.
            if (due && skipped.inRow() == 0) {
                save();
                due = false;
            }
        }
        skipped.read();
        if (savedAt != step && !skipped.broken()) {
            save();
        }
    }

    /** Takes a step; if its data cannot be read, saves a checkpoint before it throws. */
    private @Nullable Report stepOrSave(boolean read) throws IOException {
        try {
            if (read) {
                return takeStepAndRead();
            }
            takeStep();
            return null;
        } catch (UncheckedIOException | OutOfMemoryError e) {
            saveBeforeEnd();
            if (e instanceof OutOfMemoryError) {
                throw e;
            }
            throw new TrainingException(
                    "step " + step + ": " + e.getMessage()
                            + (settings.replacesDamaged() || !(e.getCause() instanceof DamagedItemException)
                                    ? ""
                                    : ", or set data.on_error=skip to skip such items")
                            + ". " + checkpoints.kept() + (isSaved() ? ": continue from it with --resume" : ""),
                    e);
        }
    }

    /** Makes {@link #run} end after the current step, with a checkpoint. Safe to call from any thread. */
    public void stop() {
        stopping = true;
    }

    @Override
    public void close() {
        runner.close();
    }
}
