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
import org.metaflowmaps.steering.metric.Estimate;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** Metrics of a set of images, each with its numbers of images, as a table and as JSON. */
public final class FidTable {
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    private final List<Row> rows = new ArrayList<>();

    /**
     * One metric.
     *
     * @param name for people
     * @param key in JSON
     * @param estimate value, standard error and number of samples
     * @param reference what it was compared with
     * @param remark further numbers, for people
     * @param more further numbers, for JSON
     */
    private record Row(
            String name, String key, Estimate estimate, String reference, String remark, Map<String, Object> more) {}

    /**
     * Adds a metric.
     *
     * @param name for people
     * @param key in JSON
     * @param estimate value, standard error and number of samples
     * @param reference what it was compared with; empty for nothing
     * @param remark further numbers, for people
     * @param more further numbers, for JSON
     */
    public void add(
            String name, String key, Estimate estimate, String reference, String remark, Map<String, Object> more) {
        rows.add(new Row(name, key, estimate, reference, remark, more));
    }

    /** Prints the table. */
    public void print(PrintWriter out) {
        out.printf(Locale.ROOT, "%-16s %12s %9s %8s  %s%n", "", "value", "s.e.", "N", "against");
        for (Row row : rows) {
            String end = row.reference + (row.reference.isEmpty() || row.remark.isEmpty() ? "" : "; ") + row.remark;
            out.printf(
                    Locale.ROOT,
                    "%-16s %12s %9s %8d  %s%n",
                    row.name,
                    text(row.estimate.value()),
                    text(row.estimate.standardError()),
                    row.estimate.count(),
                    end);
        }
        out.flush();
    }

    private static String text(double value) {
        if (Double.isNaN(value)) {
            return "-";
        }
        double size = Math.abs(value);
        return String.format(Locale.ROOT, size >= 100 ? "%.2f" : size >= 0.1 || size == 0 ? "%.4f" : "%.3g", value);
    }

    /**
     * Writes everything as JSON.
     *
     * @param settings what was measured, and how
     * @throws IOException if the file cannot be written
     */
    public void write(Path file, Map<String, Object> settings) throws IOException {
        Map<String, Object> metrics = new LinkedHashMap<>();
        for (Row row : rows) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("value", row.estimate.value());
            if (Double.isFinite(row.estimate.standardError())) {
                one.put("standard_error", row.estimate.standardError());
            }
            one.put("n", row.estimate.count());
            if (!row.reference.isEmpty()) {
                one.put("reference", row.reference);
            }
            one.putAll(row.more);
            metrics.put(row.key, one);
        }
        Map<String, Object> all = new LinkedHashMap<>(settings);
        all.put("metrics", metrics);
        byte[] json = JSON.writeValueAsBytes(all);
        AtomicFile.write(
                file, json.length, channel -> Channels.newOutputStream(channel).write(json));
    }
}
