package org.metaflowmaps.cli.report;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import org.metaflowmaps.runtime.file.AtomicFile;
import org.metaflowmaps.steering.evaluation.PosteriorFrechet;

/** Prints Fréchet distances as they are measured, then writes them as CSV, Markdown and a chart. */
public final class FrechetReport {
    /** The evaluated map's few steps. */
    public static final String MAP = "MFM";
    /** Euler steps of the conditional drift. */
    public static final String GLASS = "GLASS";

    private final int images;
    private final double floor;
    private final PrintWriter terminal;
    private final List<Row> rows = new ArrayList<>();

    /**
     * One measurement.
     *
     * @param evaluations network evaluations per image
     * @param seconds time of the draws and their features
     */
    record Row(
            String sampler,
            double time,
            int steps,
            long evaluations,
            PosteriorFrechet.Distances distances,
            double seconds) {}

    public FrechetReport(int images, double floor, PrintWriter terminal) {
        this.images = images;
        this.floor = floor;
        this.terminal = terminal;
        terminal.println(caption());
        terminal.printf(
                "%5s  %-7s %6s %12s %12s %12s %9s%n",
                "t", "sampler", "steps", "evaluations", "to noised", "to others", "seconds");
        terminal.flush();
    }

    private String caption() {
        return String.format(
                Locale.ROOT,
                "Fréchet distance of %,d posterior draws to the noised images, and to as many others; "
                        + "the distance of these two sets of real images is %.3f.",
                images,
                floor);
    }

    /** Measures, prints and stores a row. */
    public void measure(String sampler, double time, int steps, Supplier<PosteriorFrechet.Distances> measurement) {
        long started = System.nanoTime();
        PosteriorFrechet.Distances found = measurement.get();
        Row row = new Row(sampler, time, steps, found.evaluations(), found, (System.nanoTime() - started) * 1e-9);
        rows.add(row);
        terminal.printf(
                Locale.ROOT,
                "%5s  %-7s %6d %12d %12.3f %12.3f %9.1f%n",
                time,
                sampler,
                steps,
                row.evaluations,
                found.toNoised(),
                found.toOthers(),
                row.seconds);
        terminal.flush();
    }

    public void write(Path folder) throws IOException {
        StringBuilder csv =
                new StringBuilder("time,sampler,steps,evaluations,to_noised,to_others,floor,images,seconds\n");
        StringBuilder markdown = new StringBuilder(caption())
                .append("\n\n| t | sampler | steps | evaluations | to noised | to others |\n")
                .append("|---:|---|---:|---:|---:|---:|\n");
        for (Row row : rows) {
            csv.append(String.format(
                    Locale.ROOT,
                    "%s,%s,%d,%d,%.6f,%.6f,%.6f,%d,%.2f%n",
                    row.time,
                    row.sampler,
                    row.steps,
                    row.evaluations,
                    row.distances.toNoised(),
                    row.distances.toOthers(),
                    floor,
                    images,
                    row.seconds));
            markdown.append(String.format(
                    Locale.ROOT,
                    "| %s | %s | %d | %d | %.3f | %.3f |%n",
                    row.time,
                    row.sampler,
                    row.steps,
                    row.evaluations,
                    row.distances.toNoised(),
                    row.distances.toOthers()));
        }
        text(folder.resolve("frechet.csv"), csv);
        text(folder.resolve("frechet.md"), markdown);
        if (Text.available()) {
            Png.write(new FrechetChart(rows, floor).draw(760, 440), folder.resolve("frechet.png"));
        }
        terminal.println(folder);
        terminal.flush();
    }

    /** Writes a text file atomically. */
    static void text(Path file, CharSequence content) throws IOException {
        ByteBuffer bytes = StandardCharsets.UTF_8.encode(content.toString());
        AtomicFile.write(file, bytes.remaining(), channel -> {
            while (bytes.hasRemaining()) {
                channel.write(bytes);
            }
        });
    }
}
