package org.metaflowmaps.cli.report;

import org.metaflowmaps.models.sampler.SamplingListener;

/** Shows the steps of a run of steering, over all its batches, on standard error. */
public final class SteeringProgress implements SamplingListener, AutoCloseable {
    private final ProgressDisplay display;
    private final long each;
    private long batches;

    /**
     * Begins to show progress.
     *
     * @param task such as {@code steer}
     * @param each steps of a batch
     * @param batches the number of batches
     */
    public SteeringProgress(String task, long each, long batches) {
        this.display = ProgressDisplay.start(task, each * batches, 0);
        this.each = each;
    }

    @Override
    public void stepDone(int done, int steps) {
        display.update(each * batches + each * done / steps, "");
    }

    /** Counts a batch as done, also if it ended early. */
    public void batchDone() {
        batches++;
        display.update(each * batches, "");
    }

    @Override
    public void close() {
        display.close();
    }
}
