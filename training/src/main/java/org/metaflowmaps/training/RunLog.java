package org.metaflowmaps.training;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.training.data.DamagedItemException;
import org.metaflowmaps.training.metrics.MetricsLog;
import org.metaflowmaps.training.metrics.ProcessMemory;
import org.metaflowmaps.training.metrics.TensorBoardWriter;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Writes a run's metrics to its folder, and evaluates the averaged map every {@code evaluate_every} steps. */
final class RunLog implements RunListener, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(RunLog.class);
    private static final String EVENTS = "TensorBoard's events in ";

    private final TrainerSettings settings;
    private final long evaluateEvery;
    private final Path folder;
    private final Trainer<?> trainer;
    private final RunFolder.Look look;
    private final MetricsLog metrics;
    private final TensorBoardWriter board;
    private final long resumedAt;
    private final double secondsBefore;
    private final long started = System.nanoTime();

    /**
     * Opens the log; drops lines of steps that will be repeated.
     *
     * @param trainer at the step from which it continues; not owned
     * @param evaluateEvery steps between evaluations; 0 for none
     * @param parameters their number
     */
    RunLog(Path folder, Trainer<?> trainer, long evaluateEvery, long parameters, RunFolder.Look look)
            throws IOException {
        this.settings = trainer.settings();
        this.evaluateEvery = evaluateEvery;
        this.folder = folder;
        this.trainer = trainer;
        this.look = look;
        this.resumedAt = trainer.step();
        this.metrics = MetricsLog.open(file(), resumedAt);
        try {
            this.board = TensorBoardWriter.onFirstValue(folder, resumedAt);
            List<MetricsLog.Entry> earlier = MetricsLog.read(file());
            this.secondsBefore = earlier.isEmpty() ? 0 : earlier.getLast().seconds();
            if (resumedAt == 0) {
                board.scalar("model/parameters", 0, (double) parameters);
            }
        } catch (IOException | RuntimeException e) {
            metrics.close();
            throw e;
        }
    }

    private Path file() {
        return folder.resolve(TrainingRun.METRICS);
    }

    private boolean looks(long step) {
        return evaluateEvery > 0 && step % evaluateEvery == 0;
    }

    @Override
    public boolean reads(long step) {
        // Write an evaluation's numbers at once; otherwise a stop before the next line would lose them.
        return looks(step) || step % settings.readEvery() == 0 || step == settings.steps();
    }

    @Override
    public void stepped(long step, Trainer.@Nullable Report report) throws IOException {
        if (report == null || !reads(step)) {
            return;
        }
        Map<String, Double> found = Map.of();
        Throwable failure = null;
        if (looks(step)) {
            try {
                found = look(step);
            } catch (UncheckedIOException | OutOfMemoryError e) {
                failure = e;
            }
        }
        double seconds = (System.nanoTime() - started) * 1e-9;
        Map<String, Double> values = values(report, (step - resumedAt) / seconds, trainer.replaced());
        values.putAll(look.line());
        values.putAll(found);
        record(new MetricsLog.Entry(step, secondsBefore + seconds, values));
        if (failure != null) {
            // Throw after the step's numbers are written.
            trainer.saveBeforeEnd();
            if (failure instanceof OutOfMemoryError e) {
                throw e;
            }
            throw new TrainingException("step " + step + ": " + failure.getMessage() + ". " + trainer.kept(), failure);
        }
    }

    /** Returns nothing and logs a warning if a held-out item is damaged and damage is skipped. */
    private Map<String, Double> look(long step) throws IOException {
        try {
            return look.at(board, step);
        } catch (UncheckedIOException e) {
            if (e.getCause() instanceof DamagedItemException && settings.replacesDamaged()) {
                LOG.warn("warning: step {}: the held-out items were not measured: {}", step, e.getMessage());
                return Map.of();
            }
            throw e;
        } catch (IOException e) {
            throw unwritable(EVENTS + folder, e);
        }
    }

    private void record(MetricsLog.Entry entry) throws IOException {
        try {
            metrics.append(entry);
            if (!Files.exists(file())) {
                throw new IOException("it was deleted or moved while the run wrote to it");
            }
        } catch (IOException e) {
            throw unwritable(file().toString(), e);
        }
        try {
            for (Map.Entry<String, Double> value : entry.values().entrySet()) {
                board.scalar(value.getKey(), entry.step(), value.getValue());
            }
        } catch (IOException e) {
            throw unwritable(EVENTS + folder, e);
        }
    }

    /** Saves a checkpoint if records cannot be written; returns the exception to throw. */
    private IOException unwritable(String what, IOException failure) {
        String saved;
        try {
            trainer.saveBeforeEnd();
            saved = trainer.kept();
        } catch (IOException | RuntimeException again) {
            failure.addSuppressed(again);
            saved = "A checkpoint could not be written either (" + again.getMessage() + ")";
        }
        return new IOException(
                "step " + trainer.step() + ": cannot write " + what + " (" + failure.getMessage() + "). " + saved
                        + ". Make room on the disk or put the folder back, then continue with --resume",
                failure);
    }

    private Map<String, Double> values(Trainer.Report report, double stepsPerSecond, long replaced) {
        Map<String, Double> values = new LinkedHashMap<>();
        report.errors().forEach((name, error) -> values.put("loss/" + name, error));
        values.put("gradient_norm", report.gradientNorm());
        values.put("learning_rate", report.learningRate());
        values.put("skipped", (double) report.skipped());
        if (settings.replacesDamaged()) {
            values.put("items_replaced", (double) replaced);
        }
        values.put("items_per_second", stepsPerSecond * settings.batch() * settings.accumulate());
        ProcessMemory.resident().ifPresent(bytes -> values.put("memory/resident", (double) bytes));
        ProcessMemory.peak().ifPresent(bytes -> values.put("memory/peak", (double) bytes));
        return values;
    }

    @Override
    public void close() throws IOException {
        try (metrics) {
            board.close();
        }
    }
}
