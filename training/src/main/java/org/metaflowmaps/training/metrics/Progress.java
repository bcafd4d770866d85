package org.metaflowmaps.training.metrics;

import java.io.Console;
import java.io.PrintStream;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.function.LongSupplier;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;
import org.jspecify.annotations.Nullable;

/**
 * Shows on standard error how far a run has come: a bar where that is a terminal, a plain line now and then where it is a log.
 *
 * <p>One thread at a time. {@link #close()} leaves the last state standing.
 */
public final class Progress implements AutoCloseable {
    private static final Duration LINE_INTERVAL = Duration.ofSeconds(30);

    private final String task;
    private final long total;
    private final long resumedAt;
    private final @Nullable ProgressBar bar;
    private final PrintStream lines;
    private final LongSupplier nanoTime;
    private final long started;
    private long lastLine;
    private long step;
    private String message = "";
    private boolean told;

    private Progress(String task, long total, long resumedAt, boolean terminal, PrintStream lines, LongSupplier nanoTime) {
        if (total < 1 || resumedAt < 0 || resumedAt > total) {
            throw new IllegalArgumentException("step %d of %d, expected at least one step and a start among them"
                    .formatted(resumedAt, total));
        }
        this.task = task;
        this.total = total;
        this.resumedAt = resumedAt;
        this.lines = lines;
        this.nanoTime = nanoTime;
        this.started = nanoTime.getAsLong();
        this.lastLine = started;
        this.step = resumedAt;
        this.bar = terminal ? bar(task, total, resumedAt) : null;
    }

    /**
     * Begins to show progress.
     *
     * @param task what is being done, such as {@code train}
     * @param total the steps there are, at least 1
     * @param resumedAt the steps that were done before, at most {@code total}
     * @return the display; the caller closes it
     */
    public static Progress start(String task, long total, long resumedAt) {
        boolean terminal = Optional.ofNullable(System.console()).filter(Console::isTerminal).isPresent();
        return new Progress(task, total, resumedAt, terminal, System.err, System::nanoTime);
    }

    static Progress lines(String task, long total, long resumedAt, PrintStream lines, LongSupplier nanoTime) {
        return new Progress(task, total, resumedAt, false, lines, nanoTime);
    }

    /**
     * Tells that a step is done; cheap enough to be called at every one.
     *
     * @param done the steps done so far
     * @param note what to show beside, such as {@code loss 0.123}; may be empty
     */
    public void update(long done, String note) {
        step = done;
        if (!note.isEmpty()) {
            message = note;
        }
        told = false;
        if (bar != null) {
            bar.stepTo(done);
            bar.setExtraMessage(" " + message);
            return;
        }
        long now = nanoTime.getAsLong();
        if (now - lastLine >= LINE_INTERVAL.toNanos()) {
            tell(now);
        }
    }

    @Override
    public void close() {
        if (bar != null) {
            bar.close();
        } else if (!told) {
            tell(nanoTime.getAsLong());
        }
    }

    private void tell(long now) {
        lastLine = now;
        told = true;
        double seconds = (now - started) * 1e-9;
        double rate = seconds > 0 ? (step - resumedAt) / seconds : 0;
        StringBuilder line = new StringBuilder(
                String.format(Locale.ROOT, "%s %d/%d (%.1f %%)", task, step, total, 100.0 * step / total));
        if (rate > 0) {
            line.append(String.format(Locale.ROOT, rate < 10 ? ", %.2f steps/s" : ", %.0f steps/s", rate));
            if (step < total) {
                line.append(", ").append(span(Math.round((total - step) / rate))).append(" left");
            }
        }
        lines.println(message.isEmpty() ? line : line.append(", ").append(message));
    }

    private static String span(long seconds) {
        if (seconds < 60) {
            return seconds + " s";
        }
        long minutes = (seconds + 30) / 60;
        return minutes < 60 ? minutes + " min" : minutes / 60 + " h " + minutes % 60 + " min";
    }

    private static ProgressBar bar(String task, long total, long resumedAt) {
        return new ProgressBarBuilder().setTaskName(task).setInitialMax(total).startsFrom(resumedAt, Duration.ZERO)
                .setUpdateIntervalMillis(250).setStyle(ProgressBarStyle.ASCII).setUnit(" steps", 1).showSpeed().build();
    }
}
