package org.metaflowmaps.cli.report;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import org.metaflowmaps.steering.evaluation.FrontierResult;
import org.metaflowmaps.steering.evaluation.FrontierResult.Estimate;
import org.metaflowmaps.steering.evaluation.FrontierSettings;
import org.metaflowmaps.steering.evaluation.SteeringFrontier;

/** Prints a study of steering methods as it proceeds, then writes its table, sentences and chart. */
public final class FrontierReport implements SteeringFrontier.Listener, AutoCloseable {
    private static final String LINE = "%-22s %9s %9s %9s %18s %18s %7s %16s %8s %16s%n";
    private static final List<String> HEADER = List.of(
            "method", "NFE", "s/image", "CPU s", "reward", "judge", "agree", "distance", "-chance", "diversity");

    private final FrontierSettings settings;
    private final PrintWriter terminal;
    private final ProgressDisplay progress;
    private final List<FrontierResult> results = new ArrayList<>();

    /**
     * Prints the head.
     *
     * @param cells how many results to expect
     */
    public FrontierReport(FrontierSettings settings, int cells, PrintWriter terminal) {
        this.settings = settings;
        this.terminal = terminal;
        terminal.println(caption());
        terminal.printf(LINE, HEADER.toArray());
        terminal.flush();
        this.progress = ProgressDisplay.start("frontier", cells, 0);
    }

    @Override
    public void finished(FrontierResult result) {
        results.add(result);
        terminal.printf(LINE, cells(result).toArray());
        terminal.flush();
        progress.update(results.size(), result.cell().toString());
    }

    /** Returns the seconds to compare by: the processor's if they are known, else those elapsed. */
    static ToDoubleFunction<FrontierResult> seconds(List<FrontierResult> results) {
        return isTimedByProcessor(results)
                ? result -> result.time().processor()
                : result -> result.time().elapsed();
    }

    /** Returns true if the processor time of all results is known and not too short to be measured. */
    static boolean isTimedByProcessor(List<FrontierResult> results) {
        return results.stream().allMatch(result -> result.time().processor() > 0);
    }

    @Override
    public void pooled(int done, int all) {
        progress.update(results.size(), "pool " + done + " of " + all);
    }

    private String caption() {
        double[] weights =
                settings.weights().stream().mapToDouble(Double::doubleValue).toArray();
        double total = 0;
        double squares = 0;
        for (double weight : weights) {
            total += weight;
            squares += weight * weight;
        }
        double chance = Math.sqrt((1 - squares / (total * total)) / settings.images());
        return String.format(
                Locale.ROOT,
                "Reward log Σ w·p(class), w = %s, lambda %s, %d steps, %d draws of a particle, seed %d. %d images of"
                    + " each method, a pool of %,d without steering for base and best-of; %s. Means ± standard error;"
                    + " %d exact samples have a histogram distance of about %.3f by chance.",
                settings.weights(),
                settings.strength(),
                settings.steps(),
                settings.particleDraws(),
                settings.seed(),
                settings.images(),
                settings.pool(),
                settings.machine(),
                settings.images(),
                chance);
    }

    private static List<String> cells(FrontierResult result) {
        return List.of(
                result.cell().toString(),
                Long.toString(result.evaluations()),
                String.format(Locale.ROOT, "%.4f", result.time().elapsed()),
                String.format(Locale.ROOT, "%.4f", result.time().processor()),
                text(result.reward(), 3),
                text(result.judge(), 3),
                String.format(Locale.ROOT, "%.3f", result.agreement().value()),
                text(result.distance(), 3),
                String.format(Locale.ROOT, "%.3f", result.corrected()),
                text(result.diversity(), 4));
    }

    private static String text(Estimate estimate, int digits) {
        String format = "%." + digits + "f";
        return String.format(Locale.ROOT, format, estimate.value()) + " ± "
                + (Double.isNaN(estimate.error()) ? "?" : String.format(Locale.ROOT, format, estimate.error()));
    }

    /**
     * Prints the sentences, and writes {@code frontier.md} and, if this machine has fonts, {@code frontier.png}.
     *
     * @throws IOException if a file cannot be written
     */
    public void write(Path folder) throws IOException {
        progress.close();
        FrontierConclusions conclusions = new FrontierConclusions(results);
        StringBuilder markdown = new StringBuilder(caption())
                .append("\n\n"
                        + "| method | NFE | seconds per image | processor seconds | mean reward | judge's mean"
                        + " score | agreement | histogram distance | chance removed | diversity | n | best-of of"
                        + " equal reward | of equal judge's score |\n"
                        + "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
        for (FrontierResult result : results) {
            List<String> row = new ArrayList<>(cells(result));
            row.set(6, text(result.agreement(), 3));
            row.add(count(result));
            row.addAll(conclusions.equalBestOf(result));
            markdown.append("| ").append(String.join(" | ", row)).append(" |\n");
        }
        markdown.append('\n');
        terminal.println();
        for (String sentence : conclusions.sentences()) {
            terminal.println(sentence);
            markdown.append("* ").append(sentence).append('\n');
        }
        FrechetReport.text(folder.resolve("frontier.md"), markdown);
        if (Text.available()) {
            Png.write(new FrontierChart(results).draw(), folder.resolve("frontier.png"));
        }
        terminal.println(folder);
        terminal.flush();
    }

    /** Returns how many images the means and the diversity are from. */
    private static String count(FrontierResult result) {
        int means = result.reward().n();
        int pairs = result.diversity().n();
        return means == pairs ? Integer.toString(means) : means + ", diversity " + pairs;
    }

    @Override
    public void close() {
        progress.close();
    }
}
