package org.metaflowmaps.cli.report;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.function.Supplier;
import org.metaflowmaps.steering.evaluation.Estimated;
import org.metaflowmaps.steering.evaluation.JacobianFidelity;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** The results of {@code mfm evaluate jacobian}: computes missing cells, prints each row, then writes a table. */
public final class JacobianTable extends CellTable {
    /**
     * Prints a caption.
     *
     * @param cells finished cells, not owned
     */
    public JacobianTable(String caption, CellFile cells, PrintWriter terminal) {
        super(cells, terminal);
        line(caption);
        line("Standard errors by the jackknife over items. Draws leave chance in both sides, which lowers r also for a"
                + " perfect map; the next two columns combine independent halves of the draws, which removes it.");
        line("");
        line("| t | items | pairs n | r | r without chance | slope |");
        line("|---:|---:|---:|---:|---:|---:|");
    }

    /** Adds the comparison at a time. */
    public void add(double time, Supplier<JacobianFidelity> comparison) throws IOException {
        JsonNode cell = cell("t=" + time, () -> {
            JacobianFidelity found = comparison.get();
            ObjectNode made = CellFile.object()
                    .put("t", time)
                    .put("states", found.states())
                    .put("pairs", found.pairs());
            put(made, "correlation", found.correlation());
            put(made, "corrected", found.corrected());
            put(made, "slope", found.slope());
            return made;
        });
        line(String.format(
                Locale.ROOT,
                "| %s | %d | %d | %s | %s | %s |",
                time,
                cell.path("states").asInt(),
                cell.path("pairs").asInt(),
                shown(read(cell, "correlation")),
                shown(read(cell, "corrected")),
                shown(read(cell, "slope"))));
    }

    private static void put(ObjectNode cell, String name, Estimated number) {
        cell.put(name, number.value()).put(name + "_error", number.error());
    }

    private static Estimated read(JsonNode cell, String name) {
        return new Estimated(number(cell.path(name)), number(cell.path(name + "_error")));
    }

    /** JSON has no NaN, which is written as text. */
    private static double number(JsonNode node) {
        return node.isNumber() ? node.doubleValue() : Double.NaN;
    }
}
