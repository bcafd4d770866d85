package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.metaflowmaps.runtime.internal.LineFile;
import org.metaflowmaps.steering.evaluation.FrontierResult.Time;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The finished parts of a {@link SteeringFrontier}, one JSON object per line: {@code {"settings":…}} first, then
 * {@code {"result":…}} for each cell and {@code {"pool":…}} for parts of the samples without steering.
 *
 * <p>Each line is forced to the device before the call returns; an unfinished last line of a killed process is dropped.
 */
public final class FrontierFile implements AutoCloseable {
    private static final String SETTINGS = "settings";
    private static final String RESULT = "result";
    private static final String POOL = "pool";
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final FrontierSettings settings;
    private final Map<FrontierCell, FrontierResult> results = new LinkedHashMap<>();
    private final List<PoolPart> parts = new ArrayList<>();
    private final LineFile file;

    /** Scores of the pool's samples from a number on, and the time of drawing them. */
    record PoolPart(int from, Time time, SampleScores scores) {}

    /** Scores of all samples of the pool, and the time of drawing them. */
    record Pool(Time time, SampleScores scores) {}

    private FrontierFile(LineFile file, FrontierSettings settings) {
        this.file = file;
        this.settings = settings;
    }

    /**
     * Opens a file to continue, or begins one.
     *
     * @param file the file; it and its folder are created if missing
     * @param settings of the study
     * @throws IOException if the file cannot be read or written, is in use, holds results of other settings, or has a
     *     damaged line before the last
     */
    public static FrontierFile open(Path file, FrontierSettings settings) throws IOException {
        Preconditions.checkNotNull(settings, "frontier: the settings are null");
        LineFile lines = LineFile.open(file)
                .orElseThrow(() ->
                        new IOException(file + " is in use by another study: wait for it, or write to another folder"));
        try {
            FrontierFile opened = new FrontierFile(lines, settings);
            opened.read(file);
            return opened;
        } catch (IOException | RuntimeException e) {
            lines.close();
            throw e;
        }
    }

    private void read(Path path) throws IOException {
        List<String> lines = file.lines();
        for (int i = 0; i < lines.size(); i++) {
            try {
                take(path, JSON.readTree(lines.get(i)), i == 0);
            } catch (JacksonException | IllegalArgumentException e) {
                throw new IOException(
                        path + ": line " + (i + 1) + " is not a part of a frontier study: repair or delete the file",
                        e);
            }
        }
        if (lines.isEmpty()) {
            String first = line(SETTINGS, settings);
            if (!first.startsWith(file.rest())) {
                throw new IOException(
                        path + " is not a file of a frontier study: delete it, or write to another folder");
            }
            file.add(first);
        }
    }

    private void take(Path file, JsonNode tree, boolean isFirst) throws IOException {
        if (isFirst) {
            requireSame(file, JSON.treeToValue(part(tree, SETTINGS), FrontierSettings.class));
        } else if (tree.has(RESULT)) {
            FrontierResult result = JSON.treeToValue(tree.get(RESULT), FrontierResult.class);
            results.put(result.cell(), result);
        } else {
            PoolPart next = JSON.treeToValue(part(tree, POOL), PoolPart.class);
            Preconditions.checkArgument(
                    next.from == pooled(), "a part of the pool from %s, expected from %s", next.from, pooled());
            parts.add(next);
        }
    }

    private static JsonNode part(JsonNode tree, String name) {
        Preconditions.checkArgument(tree.has(name), "no object '%s'", name);
        return tree.get(name);
    }

    private void requireSame(Path file, FrontierSettings found) throws IOException {
        if (found.equals(settings)) {
            return;
        }
        JsonNode theirs = JSON.valueToTree(found);
        JsonNode ours = JSON.valueToTree(settings);
        List<String> differences = new ArrayList<>();
        for (Map.Entry<String, JsonNode> entry : theirs.properties()) {
            JsonNode given = ours.get(entry.getKey());
            if (!entry.getValue().equals(given)) {
                differences.add(entry.getKey() + " " + entry.getValue() + ", given " + given);
            }
        }
        throw new IOException(file + " holds results of other settings: " + String.join("; ", differences)
                + ". Give the same settings to continue, or write to another folder");
    }

    /** Returns the settings of all results. */
    public FrontierSettings settings() {
        return settings;
    }

    /** Returns a cell's result; empty if it is not finished. */
    public Optional<FrontierResult> result(FrontierCell cell) {
        return Optional.ofNullable(results.get(cell));
    }

    void add(FrontierResult result) throws IOException {
        file.add(line(RESULT, result));
        results.put(result.cell(), result);
    }

    /** Returns how many samples of the pool are stored. */
    int pooled() {
        return parts.isEmpty()
                ? 0
                : parts.getLast().from + parts.getLast().scores.count();
    }

    void add(PoolPart part) throws IOException {
        file.add(line(POOL, part));
        parts.add(part);
    }

    Pool pool() {
        return new Pool(
                new Time(
                        parts.stream().mapToDouble(part -> part.time.elapsed()).sum(),
                        parts.stream()
                                .mapToDouble(part -> part.time.processor())
                                .sum()),
                SampleScores.joined(parts.stream().map(PoolPart::scores).toList()));
    }

    private static String line(String name, Object value) {
        return JSON.writeValueAsString(Map.of(name, value));
    }

    @Override
    public void close() throws IOException {
        file.close();
    }
}
