package org.metaflowmaps.cli.report;

import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.training.data.EncodingListener;

/** Shows how many images are encoded. */
public final class EncodingProgress implements EncodingListener, AutoCloseable {
    private final BooleanSupplier stopping;
    private @Nullable ProgressDisplay display;

    /**
     * Makes the display, which appears when the run begins.
     *
     * @param stopping true to stop the run
     */
    public EncodingProgress(BooleanSupplier stopping) {
        this.stopping = stopping;
    }

    @Override
    public void begin(int images, int done) {
        display = ProgressDisplay.start("encode", images, done);
    }

    @Override
    public void at(int done) {
        if (display != null) {
            display.update(done, "");
        }
    }

    @Override
    public boolean isStopped() {
        return stopping.getAsBoolean();
    }

    @Override
    public void close() {
        if (display != null) {
            display.close();
        }
    }
}
