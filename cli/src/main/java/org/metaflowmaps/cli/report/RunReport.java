package org.metaflowmaps.cli.report;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import javax.imageio.ImageIO;

/** A page about one run, or one that compares several. */
public final class RunReport {
    private static final int PICTURES = 8;
    private static final List<String> HEADER = List.of(
            "run",
            "λ",
            "at",
            "step",
            "reward",
            "independent",
            "Fréchet to base",
            "diversity",
            "diversity / base",
            "turned");

    private static final String AVERAGE = "average/";
    private static final String BASE = "base/";

    private final List<RunRecord> runs;

    private RunReport(List<RunRecord> runs) {
        this.runs = runs;
    }

    /**
     * Reads runs, also ones that are still going on.
     *
     * @param folders at least one
     * @throws IOException if one is not a run's folder, or a file is damaged
     */
    public static RunReport read(List<Path> folders) throws IOException {
        List<RunRecord> runs = new ArrayList<>();
        for (Path folder : folders) {
            runs.add(RunRecord.read(folder));
        }
        return new RunReport(List.copyOf(runs));
    }

    /** Returns a table of the fine-tuning runs in Markdown, and a sentence about each; empty for training runs. */
    public List<String> summary() {
        List<String> lines = new ArrayList<>();
        List<List<String>> table = table();
        if (!table.isEmpty()) {
            lines.add("| " + String.join(" | ", HEADER) + " |");
            lines.add("|---|---:|---|---:|---:|---:|---:|---:|---:|---|");
            table.forEach(row -> lines.add("| " + String.join(" | ", row) + " |"));
        }
        for (RunRecord run : runs) {
            run.conclusion().ifPresent(text -> lines.add(run.name() + ": " + text));
        }
        return lines;
    }

    /**
     * Writes the page atomically.
     *
     * @throws IOException if it cannot be written, or a picture is damaged
     */
    public void write(Path file) throws IOException {
        if (runs.size() == 1) {
            single(runs.getFirst()).write(file);
        } else {
            comparison().write(file);
        }
    }

    private HtmlReport single(RunRecord run) throws IOException {
        HtmlReport page =
                new HtmlReport((run.isFineTuning() ? "Fine-tuning: " : "Training: ") + run.name()).facts(facts(run));
        withoutFont(page);
        if (run.isFineTuning()) {
            page.section("Evaluations");
            run.conclusion().ifPresent(page::paragraph);
            evaluations(page, run);
            RunCharts.evaluations(run).forEach(chart -> RunCharts.add(page, run, chart));
        }
        pictures(page, run);
        page.section("Training");
        RunCharts.training(run).forEach(chart -> RunCharts.add(page, run, chart));
        if (run.isFineTuning()) {
            RunCharts.weights().forEach(chart -> RunCharts.add(page, run, chart));
        }
        if (!run.configuration().isEmpty()) {
            page.section("Configuration").pre(run.configuration());
        }
        return page;
    }

    private HtmlReport comparison() throws IOException {
        HtmlReport page = new HtmlReport("Comparison of " + runs.size() + " runs");
        withoutFont(page);
        if (!table().isEmpty()) {
            page.table(HEADER, table());
        }
        for (RunRecord run : runs) {
            run.conclusion().ifPresent(text -> page.paragraph(run.name() + ": " + text));
        }
        RunRecord first = runs.getFirst();
        if (runs.stream().anyMatch(RunRecord::isFineTuning)) {
            page.section("Evaluations");
            RunCharts.evaluations(first).stream()
                    .filter(chart ->
                            chart.metrics().size() <= 2 && !chart.metrics().isEmpty())
                    .forEach(chart -> RunCharts.compare(page, runs, chart));
        }
        page.section("Training");
        RunCharts.training(first).forEach(chart -> RunCharts.compare(page, runs, chart));
        if (runs.stream().anyMatch(RunRecord::isFineTuning)) {
            RunCharts.weights().forEach(chart -> RunCharts.compare(page, runs, chart));
        }
        for (RunRecord run : runs) {
            page.section(run.name()).facts(facts(run));
            List<Long> chosen = run.chosenPictures(2);
            for (long step : chosen) {
                picture(page, run, step);
            }
            if (!run.configuration().isEmpty()) {
                page.pre(run.configuration());
            }
        }
        return page;
    }

    private static void withoutFont(HtmlReport page) {
        if (!Text.available()) {
            page.paragraph("The charts are left out, because this machine has no font: install fontconfig and a font"
                    + " such as fonts-dejavu-core.");
        }
    }

    private static Map<String, String> facts(RunRecord run) {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("folder", run.folder().toString());
        long step = run.last().step();
        OptionalLong steps = run.steps();
        String state = steps.isPresent() && step < steps.getAsLong()
                ? " of " + steps.getAsLong() + "; the run is still going on, or was stopped"
                : "";
        facts.put("steps", step + state);
        facts.put(
                "training time", String.format(Locale.ROOT, "%.0f s", run.last().seconds()));
        run.turning()
                .ifPresent(turning -> facts.put(
                        "best independent score",
                        number(turning.best()) + " at step " + turning.bestStep()
                                + turning.fellFrom().stream()
                                        .mapToObj(from -> "; fell from step " + from + " on")
                                        .findFirst()
                                        .orElse("")));
        for (String name : List.of("command", "reward", "independent", "base")) {
            String value = run.settings().path(name).asString("");
            if (!value.isEmpty()) {
                facts.put(name, value);
            }
        }
        return facts;
    }

    /** Adds a table with a row for each evaluation. */
    private static void evaluations(HtmlReport page, RunRecord run) {
        Series scores = run.series("average/reward");
        List<List<String>> rows = new ArrayList<>();
        Optional<Turning> turning = run.turning();
        for (long step : scores.steps()) {
            boolean best = turning.isPresent() && turning.get().bestStep() == step;
            rows.add(List.of(
                    Long.toString(step),
                    cell(run, "average/reward", step),
                    cell(run, RunRecord.SCORE, step),
                    cell(run, "average/frechet_to_base", step),
                    cell(run, "average/diversity", step),
                    best ? "best" : ""));
        }
        if (!rows.isEmpty()) {
            page.table(List.of("step", "reward", "independent", "Fréchet to base", "diversity", ""), rows);
            Series samples = run.series("average/samples");
            page.paragraph("Means ± standard errors"
                    + (samples.isEmpty()
                            ? "."
                            : String.format(
                                    Locale.ROOT,
                                    " of %.0f samples of the averaged weights, from the same noise each time.",
                                    samples.values()[0])));
        }
    }

    /**
     * Returns a row.
     *
     * @param weights the beginning of the metrics' names
     */
    private static List<String> row(RunRecord run, String at, String weights, long step, String turned) {
        Series diversity = run.series(weights + "diversity");
        Series base = run.series("base/diversity");
        boolean both = diversity.at(step).isPresent() && base.at(step).isPresent();
        return List.of(
                run.folderName(),
                run.strength().orElse("-"),
                at,
                weights.equals(BASE) ? "0" : Long.toString(step),
                cell(run, weights + "reward", step),
                cell(run, weights + "independent_reward", step),
                cell(run, weights + "frechet_to_base", step),
                cell(run, weights + "diversity", step),
                both
                        ? String.format(
                                Locale.ROOT,
                                "%.2f",
                                diversity.at(step).getAsDouble() / base.at(step).getAsDouble())
                        : "-",
                turned);
    }

    /** Returns rows for each fine-tuning run: its base, and the best and the last evaluation. */
    private List<List<String>> table() {
        List<List<String>> table = new ArrayList<>();
        for (RunRecord run : runs) {
            Series rewards = run.series("average/reward");
            Optional<Turning> turning = run.turning();
            if (turning.isPresent()) {
                Turning found = turning.get();
                String turned = found.turned()
                        ? "at " + found.bestStep() + ", below from "
                                + found.fellFrom().getAsLong() + " on"
                        : "no";
                table.add(row(run, "base", BASE, found.bestStep(), "-"));
                table.add(row(run, "best", AVERAGE, found.bestStep(), turned));
                table.add(row(run, "last", AVERAGE, found.lastStep(), turned));
            } else if (!rewards.isEmpty()) {
                table.add(row(run, "last", AVERAGE, rewards.steps()[rewards.length() - 1], "-"));
            }
        }
        return table;
    }

    private static String cell(RunRecord run, String metric, long step) {
        Series series = run.series(metric);
        int index = series.indexOf(step);
        if (index < 0) {
            return "-";
        }
        double error = series.errors()[index];
        return number(series.values()[index]) + (Double.isFinite(error) ? " ± " + number(error) : "");
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, Math.abs(value) >= 10 ? "%.1f" : "%.3f", value);
    }

    private static void pictures(HtmlReport page, RunRecord run) throws IOException {
        List<Long> chosen = run.chosenPictures(PICTURES);
        if (!chosen.isEmpty()) {
            page.section("Samples")
                    .paragraph("From the same noise at every step: the base map, and the fine-tuned drift by 1, 4 and"
                            + " all Euler steps.");
        }
        for (long step : chosen) {
            picture(page, run, step);
        }
    }

    private static void picture(HtmlReport page, RunRecord run, long step) throws IOException {
        Path file = run.pictures().get(step);
        BufferedImage image = file == null ? null : ImageIO.read(file.toFile());
        if (image == null) {
            throw new IOException(file + " is not a picture: delete it, or write it again");
        }
        boolean best = run.turning().stream().anyMatch(turning -> turning.bestStep() == step);
        page.paragraph("Step " + step + (best ? ", the best by the independent score" : ""));
        page.image("Samples at step " + step, image);
    }
}
