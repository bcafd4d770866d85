package org.metaflowmaps.training;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.training.metrics.TensorBoardWriter;
import org.metaflowmaps.training.optim.Optimizer;

/**
 * The folder of a run, with its lock, checkpoints and metrics.
 *
 * <p>Thread safety: one thread at a time.
 */
public final class RunFolder implements Checkpoints, AutoCloseable {
    private final Path folder;
    private final RunIdentity identity;
    private final RunState state;
    private final int keep;
    private final long keepEvery;
    private final CheckpointFolder checkpoints;
    private @Nullable RunLock lock;

    /** Evaluates a run's network. */
    @FunctionalInterface
    public interface Look {
        /**
         * Evaluates the network.
         *
         * @param board the destination of pictures
         * @param step the steps taken
         * @return metrics by name
         * @throws IOException if a picture cannot be written
         */
        Map<String, Double> at(TensorBoardWriter board, long step) throws IOException;

        /** Returns additional metrics for each line, by name; may read the device. */
        default Map<String, Double> line() {
            return Map.of();
        }
    }

    /**
     * Makes the object; writes nothing yet.
     *
     * @param folder the path; made when the run begins, if missing
     * @param identity the run's identity
     * @param keep number of last checkpoints to keep, at least 1
     * @param keepEvery interval in steps of checkpoints that are never deleted; 0 for none
     * @param state the state to save and restore; not owned
     */
    public RunFolder(Path folder, RunIdentity identity, int keep, long keepEvery, RunState state) {
        Preconditions.checkArgument(
                keep > 0 && keepEvery >= 0,
                "run: keep %s checkpoints and each %sth, expected at least 1 and 0 or more",
                keep,
                keepEvery);
        this.folder = Preconditions.checkNotNull(folder, "run: the folder is null");
        this.identity = Preconditions.checkNotNull(identity, "run: the identity is null");
        this.state = Preconditions.checkNotNull(state, "run: the state is null");
        this.keep = keep;
        this.keepEvery = keepEvery;
        this.checkpoints = new CheckpointFolder(folder);
    }

    @Override
    public void save(Progress progress) throws IOException {
        checkpoints.save(
                progress.step(),
                keep,
                keepEvery,
                file -> Checkpoint.write(file, identity, state.checkpoint(), progress));
    }

    @Override
    public String kept() {
        Path file = checkpoints.newest();
        return Files.exists(file) ? "The last good checkpoint is " + file : "No checkpoint was written yet";
    }

    /**
     * Locks the folder against other runs until this object is closed; makes the folder if it is missing.
     *
     * @throws IOException if another run writes to it
     */
    public void lock() throws IOException {
        if (lock == null) {
            lock = RunLock.take(folder);
        }
    }

    /**
     * The checkpoint from which a run resumes.
     *
     * @param olderLosses true if an older version with other losses wrote it
     */
    record Resumed(Path file, boolean olderLosses) {}

    /**
     * Continues a trainer from the newest undamaged checkpoint; damaged ones are logged and skipped.
     *
     * @param trainer the trainer of this folder's state
     * @throws IOException if there is no checkpoint, it is not of this run, or another run writes to the folder; the
     *     run is then unchanged
     */
    public void resume(Trainer<?> trainer) throws IOException {
        restore(Objects.requireNonNull(trainer, "trainer"));
    }

    Resumed restore(Trainer<?> trainer) throws IOException {
        if (Files.isDirectory(folder)) {
            lock();
        }
        Resumed resumed;
        try (CheckpointFolder.Valid newest = checkpoints.newestValid()) {
            Checkpoint.Restored restored =
                    Checkpoint.restore(newest.open(), newest.file(), identity, state.checkpoint());
            long updates = Objects.requireNonNull(restored.counters().get(Optimizer.UPDATES));
            state.optimizers().forEach(optimizer -> optimizer.resumeAt(updates));
            trainer.resumeAt(restored.progress());
            resumed = new Resumed(newest.file(), restored.olderLosses());
        }
        checkpoints.continueFrom(resumed.file());
        return resumed;
    }

    /**
     * Trains to a trainer's last step, with metrics and checkpoints.
     *
     * @param trainer the trainer of this folder's state; it saves to this folder
     * @param evaluateEvery steps between evaluations; 0 for none
     * @param look the evaluation
     * @param listener called after each step's metrics are written
     * @return true if the last step was taken, false if the run was stopped before
     * @throws IOException if a file cannot be written
     * @throws TrainingException if too many steps in a row were skipped
     * @throws IllegalArgumentException if the resumed run has already taken more than its last step
     */
    public boolean run(Trainer<?> trainer, long evaluateEvery, Look look, RunListener listener) throws IOException {
        Objects.requireNonNull(listener, "listener");
        Preconditions.checkArgument(
                trainer.step() <= trainer.settings().steps(),
                "config: steps is %s, but the checkpoint has taken %s already",
                trainer.settings().steps(),
                trainer.step());
        Files.createDirectories(folder);
        lock();
        checkpoints.deleteAbandoned();
        if (trainer.step() == 0) {
            TensorBoardWriter.setAside(folder);
        }
        try (RunLog log = new RunLog(
                folder, trainer, evaluateEvery, state.map().parameters().count(), look)) {
            return trainer.run(RunListener.of(log, listener));
        }
    }

    @Override
    public void close() {
        if (lock != null) {
            lock.close();
        }
    }
}
