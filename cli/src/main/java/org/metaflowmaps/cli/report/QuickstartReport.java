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
    private static final String COSTS =
            "NFE are network evaluations per sample, counted as in the paper. Each best of N costs about as much as"
                    + " the method above it. All methods begin from the same noise per sample, except for the other"
                    + " samples of a best of N.";

    private final Path folder;
    private final Configs.Resolved config;
    private final int images;
    private final int draws;
    private List<PosteriorEvaluation> rows = List.of();
    private double drawSeconds;
    private @Nullable ImageGrid posterior;
    private @Nullable ImageGrid samples;
    private @Nullable Part steering;
    private @Nullable Part fineTuning;

    /** A part with rewards: what was done, its table and picture, and the commands that repeat it. */
    private record Part(String title, List<RewardRow> rows, ImageGrid picture, List<String> commands) {}

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

    /**
     * Adds steering.
     *
     * @param title reward and settings
     * @param picture samples before and after
     * @param commands that repeat it
     */
    public void steering(String title, List<RewardRow> methods, ImageGrid picture, List<String> commands) {
        steering = new Part(title, List.copyOf(methods), picture, List.copyOf(commands));
    }

    /**
     * Adds fine-tuning.
     *
     * @param title reward and settings
     * @param before samples of the trained map
     * @param after as many of the fine-tuned map, from the same noise
     * @param picture samples before and after
     * @param commands that repeat it
     */
    public void fineTuning(String title, RewardRow before, RewardRow after, ImageGrid picture, List<String> commands) {
        fineTuning = new Part(title, List.of(before, after), picture, List.copyOf(commands));
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
        if (steering != null) {
            part(page, "Steering", steering, "steered.png", "Samples before and after steering");
            page.paragraph(COSTS);
        }
        if (fineTuning != null) {
            part(page, "Fine-tuning", fineTuning, "finetuned.png", "Samples before and after fine-tuning");
            page.paragraph(difference(fineTuning.rows));
        }
        page.section("Training");
        for (String loss : List.of("loss/diagonal", "loss/consistency")) {
            curve(page, log, loss);
        }
        page.section("Configuration").pre(config.yaml()).write(folder.resolve("report.html"));
    }

    private void part(HtmlReport page, String heading, Part part, String file, String description) throws IOException {
        page.section(heading).paragraph(part.title);
        picture(page, part.picture, file, description);
        page.table(RewardRow.HEADER, part.rows.stream().map(RewardRow::cells).toList())
                .paragraph("To repeat:")
                .pre(String.join("\n", part.commands));
    }

    /** Returns the mean difference of rewards from the same noise. */
    private static String difference(List<RewardRow> rows) {
        double[] after = rows.getLast().rewards();
        double[] change = rows.getFirst().rewards().clone();
        Arrays.setAll(change, i -> after[i] - change[i]);
        RewardRow paired = new RewardRow("", change, 0, 0);
        return "Mean change of samples from the same noise: " + number(paired.mean(), 4)
                + (change.length > 1 ? " ± " + number(paired.standardError(), 4) + " (s.e.)." : ".");
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

    /** Prints the steering's table. */
    public void printSteering(PrintWriter out) {
        print(out, "Steering", steering);
        out.flush();
    }

    /** Prints the fine-tuning's table. */
    public void printFineTuning(PrintWriter out) {
        print(out, "Fine-tuning", fineTuning);
        if (fineTuning != null) {
            out.println(difference(fineTuning.rows));
        }
        out.flush();
    }

    private static void print(PrintWriter out, String heading, @Nullable Part part) {
        if (part != null) {
            out.println();
            out.println(heading + ". " + part.title);
            RewardTable table = new RewardTable(out);
            part.rows.forEach(table::row);
        }
    }

    private static String number(double value, int digits) {
        return String.format(Locale.ROOT, "%,." + digits + "f", value);
    }
}
