package org.metaflowmaps.cli.report;

import java.util.function.BooleanSupplier;
import org.metaflowmaps.models.sampler.SamplingListener;

/** Shows the steps of a run of steering, over all its batches, on standard error; cancels it when asked. */
public final class SteeringProgress implements SamplingListener, AutoCloseable {
    private final ProgressDisplay display;
    private final long each;
    private final BooleanSupplier stopping;
    private long batches;

    /**
     * Begins to show progress.
     *
     * @param task such as {@code steer}
     * @param each steps of a batch
     * @param batches the number of batches
     * @param stopping true to cancel
     */
    public SteeringProgress(String task, long each, long batches, BooleanSupplier stopping) {
        this.stopping = stopping;
        this.display = ProgressDisplay.start(task, each * batches, 0);
        this.each = each;
    }

    @Override
    public void stepDone(int done, int steps) {
        display.update(each * batches + each * done / steps, "");
    }

    @Override
    public boolean isCancelled() {
        return stopping.getAsBoolean();
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
