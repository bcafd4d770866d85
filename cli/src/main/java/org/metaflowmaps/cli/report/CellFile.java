package org.metaflowmaps.cli.report;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeSet;
import org.metaflowmaps.runtime.internal.LineFile;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * The finished cells of a table in a file of JSON lines, so that a killed evaluation continues: the first line has the
 * evaluation's settings, every other line one cell. A line is forced to the device when its cell is finished; an
 * unfinished last line of a killed run is dropped.
 */
public final class CellFile implements AutoCloseable {
    private static final String SETTINGS = "settings";
    private static final String CELL = "cell";
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final LineFile file;
    private final Map<String, JsonNode> cells = new LinkedHashMap<>();

    private CellFile(LineFile file) {
        this.file = file;
    }

    /**
     * Opens or creates a file.
     *
     * @param file its folder is created if missing
     * @param settings of the evaluation
     * @throws IOException if the file has other settings, is no such file, is open elsewhere or cannot be written
     */
    public static CellFile open(Path file, ObjectNode settings) throws IOException {
        LineFile lines = LineFile.open(file)
                .orElseThrow(() ->
                        new IOException(file + " is in use by another evaluation: wait for it, or give another --out"));
        try {
            CellFile cells = new CellFile(lines);
            cells.read(file, settings);
            return cells;
        } catch (IOException | RuntimeException e) {
            lines.close();
            throw e;
        }
    }

    private void read(Path path, ObjectNode settings) throws IOException {
        String first = JSON.writeValueAsString(JSON.createObjectNode().set(SETTINGS, settings));
        List<String> lines = file.lines();
        if (lines.isEmpty()) {
            if (!first.startsWith(file.rest())) {
                throw new IOException(path + " is no file of an evaluation: give another --out");
            }
            file.add(first);
            return;
        }
        JsonNode found = line(path, lines, 0, SETTINGS);
        // Compare parsed JSON with parsed JSON, because int 1 and long 1 would differ.
        requireSame(path, found.path(SETTINGS), JSON.readTree(first).path(SETTINGS));
        for (int i = 1; i < lines.size(); i++) {
            JsonNode cell = line(path, lines, i, CELL);
            cells.put(cell.path(CELL).asString(), cell);
        }
    }

    private static JsonNode line(Path file, List<String> lines, int index, String key) throws IOException {
        String refusal = file + ": line " + (index + 1) + " has no " + key
                + " of an evaluation: give another --out, or delete the file";
        try {
            JsonNode node = JSON.readTree(lines.get(index));
            if (!node.has(key)) {
                throw new IOException(refusal);
            }
            return node;
        } catch (JacksonException e) {
            throw new IOException(refusal, e);
        }
    }

    private static void requireSame(Path file, JsonNode found, JsonNode wanted) throws IOException {
        TreeSet<String> names = new TreeSet<>(found.propertyNames());
        names.addAll(wanted.propertyNames());
        List<String> differences = new ArrayList<>();
        for (String name : names) {
            if (!Objects.equals(found.path(name), wanted.path(name))) {
                differences.add(name + " was " + found.path(name) + " and is now " + wanted.path(name));
            }
        }
        if (!differences.isEmpty()) {
            throw new IOException(file + " has results of other settings: " + String.join(", ", differences)
                    + ". Give another --out, or delete the file");
        }
    }

    /** Returns a finished cell, if it exists. */
    public Optional<JsonNode> find(String name) {
        return Optional.ofNullable(cells.get(name));
    }

    /**
     * Appends a finished cell.
     *
     * @param name unique in the file
     * @param content its values
     * @return the cell, as {@link #find} returns it
     */
    public JsonNode add(String name, ObjectNode content) throws IOException {
        ObjectNode cell = JSON.createObjectNode().put(CELL, name);
        content.properties().forEach(property -> cell.set(property.getKey(), property.getValue()));
        String line = JSON.writeValueAsString(cell);
        file.add(line);
        JsonNode read = JSON.readTree(line);
        cells.put(name, read);
        return read;
    }

    /** Returns an empty object for settings or a cell. */
    public static ObjectNode object() {
        return JSON.createObjectNode();
    }

    @Override
    public void close() throws IOException {
        file.close();
    }
}
