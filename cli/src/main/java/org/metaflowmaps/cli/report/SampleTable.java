package org.metaflowmaps.cli.report;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.channels.Channels;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.metaflowmaps.runtime.file.AtomicFile;
import org.metaflowmaps.steering.evaluation.SampleStatistics;
import org.metaflowmaps.steering.metric.ClassHistogram;
import org.metaflowmaps.steering.metric.Estimate;
import org.metaflowmaps.steering.metric.GaussianStatistics;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** Statistics of sets of images, the first one beside the others, as tables and as JSON. */
public final class SampleTable {
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    private final GaussianStatistics reference;
    private final List<String> classes;
    private final double[] weights;
    private final Map<String, Row> rows = new LinkedHashMap<>();

    /** A set with its Fréchet distance, which is costly; NaN for the reference itself. */
    private record Row(SampleStatistics set, Estimate frechet) {}

    /**
     * Makes it without sets.
     *
     * @param reference of the Fréchet distances
     * @param classes their names
     * @param weights of the classes, to which histograms are compared; empty for none
     */
    public SampleTable(GaussianStatistics reference, List<String> classes, double[] weights) {
        this.reference = reference;
        this.classes = List.copyOf(classes);
        this.weights = weights.clone();
    }

    /** Adds a set, measured against the reference. */
    public void add(String name, SampleStatistics set) {
        rows.put(name, new Row(set, set.frechet(reference)));
    }

    /** Adds the set of the reference. */
    public void addReference(String name, SampleStatistics set) {
        rows.put(name, new Row(set, new Estimate(Double.NaN, Double.NaN, set.count())));
    }

    /** Prints one table of the sets, and one of the classes. */
    public void print(PrintWriter out) {
        out.printf(
                Locale.ROOT,
                "%-10s %7s %10s %8s %10s %8s %10s %8s %10s %8s%n",
                "",
                "n",
                "Fréchet",
                "s.e.",
                "diversity",
                "s.e.",
                "agreement",
                "s.e.",
                weights.length == 0 ? "" : "to weights",
                weights.length == 0 ? "" : "s.e.");
        rows.forEach((name, row) -> {
            out.printf(Locale.ROOT, "%-10s %7d", name, row.set.count());
            cell(out, row.frechet);
            cell(out, row.set.diversity().mean());
            row.set.agreement().ifPresentOrElse(value -> cell(out, value), () -> out.print(" ".repeat(20)));
            if (weights.length > 0) {
                row.set.histogram().ifPresent(histogram -> cell(out, histogram.distance(weights)));
            }
            out.println();
        });
        if (classes.size() > 1) {
            rows.forEach((name, row) -> classes(out, name, row.set));
        }
        out.flush();
    }

    private void classes(PrintWriter out, String name, SampleStatistics set) {
        out.println();
        out.printf(
                Locale.ROOT,
                "%-12s %10s %8s %10s %8s %7s%n",
                name,
                set.histogram().isPresent() ? "share" : "",
                set.histogram().isPresent() ? "s.e." : "",
                "diversity",
                "s.e.",
                "n");
        for (int i = 0; i < classes.size(); i++) {
            int label = i;
            out.printf(Locale.ROOT, "%-12s", classes.get(i));
            set.histogram()
                    .ifPresentOrElse(histogram -> cell(out, histogram.share(label)), () -> out.print(" ".repeat(20)));
            cell(out, set.diversity().of(i));
            out.printf(Locale.ROOT, " %7d%n", set.diversity().count(i));
        }
    }

    private static void cell(PrintWriter out, Estimate estimate) {
        out.printf(" %10s %8s", text(estimate.value()), text(estimate.standardError()));
    }

    private static String text(double value) {
        return Double.isNaN(value) ? "-" : String.format(Locale.ROOT, Math.abs(value) < 10 ? "%.4f" : "%.2f", value);
    }

    /**
     * Writes everything as JSON.
     *
     * @param settings what was drawn
     * @throws IOException if the file cannot be written
     */
    public void write(Path file, Map<String, Object> settings) throws IOException {
        Map<String, Object> all = new LinkedHashMap<>(settings);
        Map<String, Object> sets = new LinkedHashMap<>();
        rows.forEach((name, row) -> sets.put(name, set(row)));
        all.put("sets", sets);
        byte[] json = JSON.writeValueAsBytes(all);
        AtomicFile.write(
                file, json.length, channel -> Channels.newOutputStream(channel).write(json));
    }

    private Map<String, Object> set(Row row) {
        Map<String, Object> set = new LinkedHashMap<>();
        set.put("n", row.set.count());
        put(set, "frechet", row.frechet);
        put(set, "diversity", row.set.diversity().mean());
        row.set.agreement().ifPresent(value -> put(set, "agreement", value));
        ClassHistogram histogram = row.set.histogram().orElse(null);
        if (histogram != null && weights.length > 0) {
            put(set, "distance_to_weights", histogram.distance(weights));
            set.put("distance_to_weights_floor", histogram.floor(weights));
        }
        List<Map<String, Object>> list = new ArrayList<>();
        for (int i = 0; i < classes.size(); i++) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("class", classes.get(i));
            if (histogram != null) {
                one.put("count", histogram.counts()[i]);
                put(one, "share", histogram.share(i));
            }
            put(one, "diversity", row.set.diversity().of(i));
            list.add(one);
        }
        set.put("classes", list);
        return set;
    }

    /** Puts a number with its standard error and n; leaves out what could not be measured. */
    private static void put(Map<String, Object> to, String name, Estimate estimate) {
        if (Double.isFinite(estimate.value())) {
            Map<String, Object> parts = new LinkedHashMap<>();
            parts.put("value", estimate.value());
            if (Double.isFinite(estimate.standardError())) {
                parts.put("standard_error", estimate.standardError());
            }
            parts.put("n", estimate.count());
            to.put(name, parts);
        }
    }
}
