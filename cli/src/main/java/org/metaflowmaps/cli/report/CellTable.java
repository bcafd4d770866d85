package org.metaflowmaps.cli.report;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import java.util.function.Supplier;
import org.metaflowmaps.runtime.file.AtomicFile;
import org.metaflowmaps.steering.evaluation.Estimated;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** A table in Markdown whose cells are stored as they are measured; prints each line at once. */
abstract class CellTable {
    private final CellFile cells;
    private final PrintWriter terminal;
    private final StringBuilder text = new StringBuilder();

    /**
     * Makes an empty table.
     *
     * @param cells finished cells, not owned
     */
    CellTable(CellFile cells, PrintWriter terminal) {
        this.cells = cells;
        this.terminal = terminal;
    }

    /** Returns a stored cell, or measures and stores it with the time it took. */
    final JsonNode cell(String name, Supplier<ObjectNode> measurement) throws IOException {
        JsonNode found = cells.find(name).orElse(null);
        if (found != null) {
            return found;
        }
        long begin = System.nanoTime();
        ObjectNode cell = measurement.get();
        return cells.add(name, cell.put("seconds", (System.nanoTime() - begin) * 1e-9));
    }

    final void line(String line) {
        text.append(line).append('\n');
        terminal.println(line);
        terminal.flush();
    }

    /** Returns a number with its standard error. */
    static String shown(Estimated number) {
        return String.format(Locale.ROOT, "%.3f ± %.3f", number.value(), number.error());
    }

    /** Writes the table, and prints the file's name. */
    public final void write(Path file) throws IOException {
        byte[] bytes = text.toString().getBytes(StandardCharsets.UTF_8);
        AtomicFile.write(
                file, bytes.length, channel -> Channels.newOutputStream(channel).write(bytes));
        terminal.println();
        terminal.println(file);
        terminal.flush();
    }
}
