package org.metaflowmaps.training.metrics;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.runtime.file.AtomicFile;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * A log of metrics, one JSON object per line: {@code {"step":100,"seconds":12.5,"loss":0.25}}.
 *
 * <p>JSON has no NaN or infinity, so they are written as the strings {@code "NaN"}, {@code "Infinity"} and
 * {@code "-Infinity"}. Each line is written to the operating system before the call returns; an unfinished line of a
 * killed run is skipped.
 */
public final class MetricsLog implements AutoCloseable {
    private static final String STEP = "step";
    private static final String SECONDS = "seconds";
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final OutputStream out;

    private MetricsLog(OutputStream out) {
        this.out = out;
    }

    /**
     * One line of the log.
     *
     * @param step the training step, at least 0
     * @param seconds the run's training time, over all its sessions
     * @param values each metric by name, in order; none is called {@code step} or {@code seconds}
     */
    public record Entry(long step, double seconds, Map<String, Double> values) {
        /** Copies the values, keeping their order. */
        public Entry {
            if (step < 0 || !Double.isFinite(seconds)) {
                throw new IllegalArgumentException(
                        "step %d after %s seconds, expected a step from 0 and a finite time".formatted(step, seconds));
            }
            if (values.containsKey(STEP) || values.containsKey(SECONDS)) {
                throw new IllegalArgumentException(
                        "a metric is called 'step' or 'seconds', which are fields of the line: " + "rename it: "
                                + values.keySet());
            }
            values = Collections.unmodifiableMap(new LinkedHashMap<>(values));
        }
    }

    /**
     * Opens a log for writing, and drops lines of steps that will be repeated.
     *
     * @param file the log; file and folder are created if missing
     * @param resumedAt the step from which the run continues, 0 for a new one; lines of later steps are dropped
     * @return the log, to which new lines are appended; the caller closes it
     * @throws IOException if the file cannot be written, or a line other than the last is invalid
     */
    public static MetricsLog open(Path file, long resumedAt) throws IOException {
        List<Entry> kept = Files.exists(file) ? new ArrayList<>(read(file)) : new ArrayList<>();
        kept.removeIf(entry -> entry.step() > resumedAt);
        StringBuilder text = new StringBuilder();
        for (Entry entry : kept) {
            text.append(format(entry));
        }
        byte[] content = text.toString().getBytes(StandardCharsets.UTF_8);
        AtomicFile.write(
                file,
                content.length,
                channel -> Channels.newOutputStream(channel).write(content));
        return new MetricsLog(Files.newOutputStream(file, StandardOpenOption.APPEND));
    }

    /**
     * Reads a log, also one that a run is writing to.
     *
     * @param file the log
     * @return its lines, in order, without an unfinished last one
     * @throws NoSuchFileException if there is no such file
     * @throws IOException if it cannot be read, or a line other than the last is invalid
     */
    public static List<Entry> read(Path file) throws IOException {
        List<Entry> entries = new ArrayList<>();
        try (BufferedReader in = Files.newBufferedReader(file, StandardCharsets.ISO_8859_1)) {
            int number = 1;
            for (String line = in.readLine(); line != null; number++) {
                // Let Jackson decode the text, because half a character at an unfinished end must not stop reading
                // earlier.
                byte[] bytes = line.getBytes(StandardCharsets.ISO_8859_1);
                line = in.readLine();
                try {
                    entries.add(parse(bytes));
                } catch (JacksonException | IllegalArgumentException e) {
                    if (line != null) {
                        throw new IOException(
                                "%s: line %d is not an object with a step, seconds and numbers: repair or delete it"
                                        .formatted(file, number),
                                e);
                    }
                }
            }
        }
        return List.copyOf(entries);
    }

    /**
     * Appends a line.
     *
     * @param entry the line
     * @throws IOException if the file cannot be written
     */
    public void append(Entry entry) throws IOException {
        out.write(format(entry).getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public void close() throws IOException {
        out.close();
    }

    private static String format(Entry entry) {
        ObjectNode object = JSON.createObjectNode();
        object.put(STEP, entry.step()).put(SECONDS, entry.seconds());
        entry.values().forEach((name, value) -> {
            if (Double.isFinite(value)) {
                object.put(name, value);
            } else {
                object.put(name, Double.toString(value));
            }
        });
        return JSON.writeValueAsString(object) + "\n";
    }

    private static Entry parse(byte[] line) {
        JsonNode object = JSON.readTree(line);
        JsonNode step = object.path(STEP);
        JsonNode seconds = object.path(SECONDS);
        if (!step.isIntegralNumber() || !step.canConvertToLong() || !seconds.isNumber()) {
            throw new IllegalArgumentException("no step or no seconds");
        }
        Map<String, Double> values = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> property : object.properties()) {
            if (!property.getKey().equals(STEP) && !property.getKey().equals(SECONDS)) {
                JsonNode value = property.getValue();
                if (!value.isNumber() && !value.isString()) {
                    throw new IllegalArgumentException(property.getKey() + " is not a number");
                }
                values.put(
                        property.getKey(),
                        value.isNumber() ? value.doubleValue() : Double.valueOf(value.stringValue()));
            }
        }
        return new Entry(step.longValue(), seconds.doubleValue(), values);
    }
}
