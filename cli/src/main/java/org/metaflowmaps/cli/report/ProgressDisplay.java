package org.metaflowmaps.cli.report;

import java.io.Console;
import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.Locale;
import java.util.Optional;
import java.util.function.LongSupplier;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import org.jspecify.annotations.Nullable;

/**
 * Shows a run's progress on standard error: a bar in a terminal, a plain line at intervals in a log.
 *
 * <p>One thread at a time. {@link #close()} keeps the last state on the screen.
 */
final class ProgressDisplay implements AutoCloseable {
    private static final Duration LINE_INTERVAL = Duration.ofSeconds(30);
    /** The window for rate and remaining time, because a run may become slower or faster. */
    private static final Duration WINDOW = Duration.ofMinutes(1);

    private static final Duration SAMPLE_INTERVAL = Duration.ofSeconds(1);
    private static final int SHORTEST_BAR = 5;

    /** A step and its time. */
    private record Sample(long step, long nanoTime) {}

    private final String task;
    private final long total;
    private final @Nullable ProgressBar bar;
    private final PrintStream lines;
    private final LongSupplier nanoTime;
    private final Deque<Sample> samples = new ArrayDeque<>();
    private long lastLine;
    private long step;
    private String message = "";
    private boolean told;

    private ProgressDisplay(
            String task, long total, long resumedAt, boolean terminal, PrintStream lines, LongSupplier nanoTime) {
        if (total < 1 || resumedAt < 0 || resumedAt > total) {
            throw new IllegalArgumentException(
                    "step %d of %d, expected at least one step and a start within them".formatted(resumedAt, total));
        }
        this.task = task;
        this.total = total;
        this.lines = lines;
        this.nanoTime = nanoTime;
        this.lastLine = nanoTime.getAsLong();
        this.samples.add(new Sample(resumedAt, lastLine));
        this.step = resumedAt;
        this.bar = terminal ? bar(task, total, resumedAt) : null;
    }

    /**
     * Begins to show progress.
     *
     * @param task the task's name, such as {@code train}
     * @param total the number of steps, at least 1
     * @param resumedAt steps done before, at most {@code total}
     * @return the display; the caller closes it
     */
    static ProgressDisplay start(String task, long total, long resumedAt) {
        boolean terminal = Optional.ofNullable(System.console())
                .filter(Console::isTerminal)
                .isPresent();
        return new ProgressDisplay(task, total, resumedAt, terminal, System.err, System::nanoTime);
    }

    static ProgressDisplay lines(String task, long total, long resumedAt, PrintStream lines, LongSupplier nanoTime) {
        return new ProgressDisplay(task, total, resumedAt, false, lines, nanoTime);
    }

    /**
     * Records that a step is done; cheap enough to call at every step.
     *
     * @param done the steps done so far
     * @param note additional text, such as {@code loss 0.123}; may be empty
     */
    void update(long done, String note) {
        step = done;
        if (!note.isEmpty()) {
            message = note;
        }
        told = false;
        long now = nanoTime.getAsLong();
        sample(now);
        if (bar != null) {
            bar.stepTo(done);
            bar.setExtraMessage(rest(now));
            return;
        }
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

    private void sample(long now) {
        if (now - samples.getLast().nanoTime >= SAMPLE_INTERVAL.toNanos()) {
            samples.add(new Sample(step, now));
        }
        while (samples.size() > 1 && now - second().nanoTime >= WINDOW.toNanos()) {
            samples.removeFirst();
        }
    }

    private Sample second() {
        Iterator<Sample> all = samples.iterator();
        all.next();
        return all.next();
    }

    private void tell(long now) {
        lastLine = now;
        told = true;
        lines.println(
                String.format(Locale.ROOT, "%s %d/%d (%.1f %%)%s", task, step, total, 100.0 * step / total, rest(now)));
    }

    /** Returns rate, remaining time and the note, each after a comma. */
    private String rest(long now) {
        Sample from = samples.getFirst();
        double seconds = (now - from.nanoTime) * 1e-9;
        double rate = seconds > 0 ? (step - from.step) / seconds : 0;
        StringBuilder text = new StringBuilder();
        if (rate > 0) {
            text.append(String.format(Locale.ROOT, rate < 10 ? ", %.2f steps/s" : ", %.0f steps/s", rate));
            if (step < total) {
                text.append(", ")
                        .append(span(Math.round((total - step) / rate)))
                        .append(" left");
            }
        }
        return (message.isEmpty() ? text : text.append(", ").append(message)).toString();
    }

    /**
     * Returns a line for a terminal. Rate and losses come first: the bar gets the remaining width, and the percentage
     * is dropped if it does not fit.
     */
    static String line(String task, long step, long total, String rest, int width) {
        String count = step + "/" + total + rest;
        String share = task + " " + 100 * step / total + "% ";
        int bar = width - share.length() - count.length() - 3;
        if (bar >= SHORTEST_BAR) {
            int done = (int) (bar * step / total);
            return share + "[" + "=".repeat(done) + " ".repeat(bar - done) + "] " + count;
        }
        String line = share.length() + count.length() <= width ? share + count : count;
        return line.length() <= width ? line : line.substring(0, Math.max(0, width));
    }

    private static String span(long seconds) {
        if (seconds < 60) {
            return seconds + " s";
        }
        long minutes = (seconds + 30) / 60;
        return minutes < 60 ? minutes + " min" : minutes / 60 + " h " + minutes % 60 + " min";
    }

    private static ProgressBar bar(String task, long total, long resumedAt) {
        return new ProgressBarBuilder()
                .setTaskName(task)
                .setInitialMax(total)
                .startsFrom(resumedAt, Duration.ZERO)
                .setUpdateIntervalMillis(250)
                .setRenderer((state, width) ->
                        line(state.getTaskName(), state.getCurrent(), state.getMax(), state.getExtraMessage(), width))
                .build();
    }
}
