package org.metaflowmaps.cli.report;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** The charts of runs: what each shows, and how. */
final class RunCharts {
    private static final int WIDTH = 800;
    private static final int HEIGHT = 340;
    private static final String SHARE = "average/share/";
    private static final String BEST = "best independent score";

    /**
     * A chart of one or several metrics.
     *
     * @param title with unit
     * @param metrics their names; missing ones are left out
     * @param logarithmic true for a logarithmic axis, if all values are positive
     */
    record Chart(String title, List<String> metrics, boolean logarithmic) {}

    private RunCharts() {}

    private static Chart chart(String title, String... metrics) {
        return new Chart(title, List.of(metrics), false);
    }

    /** Returns the charts of losses and of the optimiser. */
    static List<Chart> training(RunRecord run) {
        List<Chart> charts = new ArrayList<>();
        Stream.concat(run.metrics("loss/").stream(), run.metrics("held_out/").stream())
                .forEach(name -> charts.add(new Chart(name, List.of(name), true)));
        charts.add(chart("learning rate", "learning_rate"));
        charts.add(new Chart("gradient norm", List.of("gradient_norm"), true));
        return charts;
    }

    /** Returns the charts of fine-tuning's evaluations. */
    static List<Chart> evaluations(RunRecord run) {
        return List.of(
                chart("optimised reward of the samples (averaged weights)", "average/reward", "base/reward"),
                chart("independent reward (averaged weights)", RunRecord.SCORE, "base/independent_reward"),
                chart("Fréchet distance to the base's samples of the same noise", "average/frechet_to_base"),
                chart("diversity within classes", "average/diversity", "base/diversity"),
                chart("share of samples that the judge sees as their label", "average/agreement", "base/agreement"),
                new Chart("share of each class by the judge", run.metrics(SHARE), false));
    }

    /** Returns the charts of fine-tuning's loss. */
    static List<Chart> weights() {
        return List.of(
                new Chart("E|v - b|² per entry (weights of the step)", List.of("drift_distance"), true),
                chart("reward of the base's posterior draws", "reward"),
                chart("effective sample size of the weights, as a share", "weight/ess"),
                chart("share of clipped weights", "weight/clipped"),
                chart("shift k", "shift"),
                chart("strength λ", "strength"));
    }

    /** Adds a chart of a run to a page, if the run has one of its metrics. */
    static void add(HtmlReport page, RunRecord run, Chart of) {
        LossChart drawn = new LossChart("");
        for (String metric : of.metrics) {
            Series series = run.series(metric);
            if (!series.isEmpty()) {
                drawn.curve(
                        metric.startsWith(SHARE) ? metric.substring(SHARE.length()) : metric,
                        series.steps(),
                        series.values(),
                        series.errors());
            }
        }
        run.turning().ifPresent(turning -> drawn.mark(BEST + " (step " + turning.bestStep() + ")", turning.bestStep()));
        add(page, drawn, of);
    }

    /** Adds a chart with a curve of each run, of the first of its metrics. */
    static void compare(HtmlReport page, List<RunRecord> runs, Chart of) {
        LossChart drawn = new LossChart("");
        for (int i = 0; i < runs.size(); i++) {
            Series series = runs.get(i).series(of.metrics.getFirst());
            if (!series.isEmpty()) {
                drawn.curve((i + 1) + ": " + runs.get(i).name(), series.steps(), series.values(), series.errors());
            }
        }
        add(page, drawn, of);
    }

    private static void add(HtmlReport page, LossChart drawn, Chart of) {
        if (!drawn.isEmpty() && Text.available()) {
            page.paragraph(of.title);
            page.image(of.title + " over steps", (of.logarithmic ? drawn : drawn.linear()).draw(WIDTH, HEIGHT));
        }
    }
}
