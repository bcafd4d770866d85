package org.metaflowmaps.cli.report;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.steering.PosteriorEvaluation;
import org.metaflowmaps.training.TrainingRun;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.metrics.MetricsLog;
import org.metaflowmaps.training.metrics.ProcessMemory;

/** The quickstart's output: a page with pictures, the pictures, and a table for the terminal. */
public final class QuickstartReport {
    private static final int SCALE = 2;
    private static final int LAST = 20;

    private final Path folder;
    private final Configs.Resolved config;
    private final int images;
    private final int draws;
    private List<PosteriorEvaluation> rows = List.of();
    private double drawSeconds;
    private @Nullable ImageGrid posterior;
    private @Nullable ImageGrid samples;

    public QuickstartReport(Path folder, Configs.Resolved config, int images, int draws) {
        this.folder = folder;
        this.config = config;
        this.images = images;
        this.draws = draws;
    }

    public void posterior(List<PosteriorEvaluation> evaluations, double seconds) {
        rows = evaluations;
        drawSeconds = seconds;
    }

    public void pictures(ImageGrid posteriorGrid, ImageGrid sampleGrid) {
        posterior = posteriorGrid;
        samples = sampleGrid;
    }

    public void write() throws IOException {
        List<MetricsLog.Entry> log = MetricsLog.read(folder.resolve(TrainingRun.METRICS));
        HtmlReport page = new HtmlReport("Meta flow map: quickstart").facts(facts(log));
        page.section("Posterior draws")
                .paragraph("Each row is a held-out image, noised to time t, with six one-step draws from its"
                        + " posterior. At small t the draws differ, as much of the class is possible; at large t"
                        + " they agree with the clean image.");
        picture(page, posterior, "posterior.png", "Clean image, noisy state and six draws for each t");
        page.paragraph("Root mean square errors to the clean image, over " + images + " held-out images with " + draws
                        + " one-step draws each.")
                .table(header(), table());
        page.section("Samples")
                .paragraph("Two samples of each class, from the same initial noise, by the refinement sampler with 1, 2"
                        + " and 4 steps.");
        picture(page, samples, "samples.png", "Samples of each class with 1, 2 and 4 steps");
        page.section("Training");
        for (String loss : List.of("loss/diagonal", "loss/consistency")) {
            curve(page, log, loss);
        }
        page.section("Configuration").pre(config.yaml()).write(folder.resolve("report.html"));
    }

    private void picture(HtmlReport page, @Nullable ImageGrid grid, String file, String description)
            throws IOException {
        if (grid != null) {
            BufferedImage image = grid.draw(SCALE);
            Png.write(image, folder.resolve(file));
            page.image(description, image);
        }
    }

    private void curve(HtmlReport page, List<MetricsLog.Entry> log, String name) throws IOException {
        List<MetricsLog.Entry> having =
                log.stream().filter(entry -> entry.values().containsKey(name)).toList();
        LossChart chart = new LossChart(name)
                .curve(
                        name,
                        having.stream().mapToLong(MetricsLog.Entry::step).toArray(),
                        having.stream()
                                .mapToDouble(entry -> entry.values().getOrDefault(name, Double.NaN))
                                .toArray());
        if (!chart.isEmpty() && Text.available()) {
            BufferedImage image = chart.draw(800, 360);
            Png.write(image, folder.resolve(name.replace('/', '-') + ".png"));
            page.image(name + " over steps", image);
        }
    }

    private static List<String> header() {
        return List.of("t", "mean of draws", "x_t / t", "class mean", "spread of draws");
    }

    private List<List<String>> table() {
        List<List<String>> table = new ArrayList<>();
        for (PosteriorEvaluation row : rows) {
            table.add(List.of(
                    number(row.time(), 1),
                    number(row.meanOfDraws(), 4),
                    number(row.scaledState(), 4),
                    number(row.reference(), 4),
                    number(row.spread(), 4)));
        }
        return table;
    }

    private Map<String, String> facts(List<MetricsLog.Entry> log) {
        Map<String, String> facts = new LinkedHashMap<>();
        for (String loss : List.of("loss/diagonal", "loss/consistency")) {
            double[] values = log.stream()
                    .flatMap(entry -> Stream.ofNullable(entry.values().get(loss)))
                    .mapToDouble(Double::doubleValue)
                    .toArray();
            Arrays.stream(values, Math.max(0, values.length - LAST), values.length)
                    .average()
                    .ifPresent(mean ->
                            facts.put("final " + loss + " (mean of the last " + LAST + " lines)", number(mean, 2)));
        }
        if (!log.isEmpty()) {
            MetricsLog.Entry last = log.getLast();
            facts.put(
                    "training",
                    last.step() + " steps in " + number(last.seconds(), 0) + " s, "
                            + number(last.values().getOrDefault("items_per_second", Double.NaN), 0) + " images/s");
        }
        facts.put("posterior draws", number((double) images * draws * rows.size() / drawSeconds, 0) + " images/s");
        OptionalLong peak = ProcessMemory.peak();
        facts.put(
                "peak memory",
                peak.isPresent() ? number(peak.getAsLong() / 1048576.0, 0) + " MiB" : "not reported by this system");
        return facts;
    }

    public void print(PrintWriter out) throws IOException {
        List<MetricsLog.Entry> log = MetricsLog.read(folder.resolve(TrainingRun.METRICS));
        out.println();
        out.println("report: " + folder.resolve("report.html"));
        facts(log).forEach((name, value) -> out.printf("%-50s %s%n", name, value));
        out.println();
        out.println("Error (root mean square per pixel, range [-1, 1]) of " + images + " held-out images, " + draws
                + " one-step draws each:");
        out.printf("%5s %15s %15s %15s %17s%n", header().toArray());
        for (List<String> row : table()) {
            out.printf("%5s %15s %15s %15s %17s%n", row.toArray());
        }
        out.flush();
    }

    private static String number(double value, int digits) {
        return String.format(Locale.ROOT, "%,." + digits + "f", value);
    }
}
