package org.metaflowmaps.cli.report;

import java.util.Locale;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.training.RunListener;
import org.metaflowmaps.training.Trainer;

/** Shows a training run's progress on standard error, with the last losses read. */
public final class RunProgress implements RunListener {
    private @Nullable ProgressDisplay display;

    @Override
    public void started(long step, long steps) {
        display = ProgressDisplay.start("train", steps, step);
    }

    @Override
    public void stepped(long step, Trainer.@Nullable Report report) {
        if (display != null) {
            display.update(step, report == null ? "" : note(report));
        }
    }

    private static String note(Trainer.Report report) {
        StringBuilder note = new StringBuilder();
        report.errors()
                .forEach((name, error) -> note.append(note.isEmpty() ? "" : " ")
                        .append(String.format(Locale.ROOT, "%s %.4f", name, error)));
        return report.skipped() == 0
                ? note.toString()
                : note.append(" skipped ").append(report.skipped()).toString();
    }

    @Override
    public void ended() {
        if (display != null) {
            display.close();
        }
    }
}
