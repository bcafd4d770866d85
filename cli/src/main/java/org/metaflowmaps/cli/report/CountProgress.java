package org.metaflowmaps.cli.report;

/** Shows how many items are done, on standard error. */
public final class CountProgress implements AutoCloseable {
    private final ProgressDisplay display;

    /**
     * Begins to show progress.
     *
     * @param task such as {@code features}
     * @param total items, at least 1
     */
    public CountProgress(String task, long total) {
        this.display = ProgressDisplay.start(task, total, 0);
    }

    /** Records the number of items done. */
    public void update(long done) {
        display.update(done, "");
    }

    @Override
    public void close() {
        display.close();
    }
}
