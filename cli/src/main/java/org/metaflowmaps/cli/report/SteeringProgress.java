package org.metaflowmaps.cli.report;

import org.metaflowmaps.models.sampler.SamplingListener;

/** Shows the steps of a run of steering, over all its batches, on standard error. */
public final class SteeringProgress implements SamplingListener, AutoCloseable {
    private final ProgressDisplay display;
    private final long total;
    private long done;

    /**
     * Begins to show progress.
     *
     * @param task such as {@code steer}
     * @param total steps of all batches
     */
    public SteeringProgress(String task, long total) {
        this.display = ProgressDisplay.start(task, total, 0);
        this.total = total;
    }

    @Override
    public void stepDone(int step, int steps) {
        done = Math.min(total, done + 1);
        display.update(done, "");
    }

    @Override
    public void close() {
        display.close();
    }
}
