package org.metaflowmaps.cli.report;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.Supplier;
import org.metaflowmaps.steering.evaluation.ValueAgreement;
import org.metaflowmaps.steering.evaluation.Values;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** The results of {@code mfm evaluate value}: computes missing cells, prints each row, then writes a table. */
public final class ValueTable extends CellTable {
    /** Few steps of the evaluated map. */
    public static final String MAP = "MFM";
    /** Euler steps of the conditional drift. */
    public static final String GLASS = "GLASS";

    private static final String PATHS = "paths";

    private final Map<Double, Values> truths = new HashMap<>();

    /**
     * Prints a caption.
     *
     * @param cells finished cells, not owned
     */
    public ValueTable(String caption, CellFile cells, PrintWriter terminal) {
        super(cells, terminal);
        line(caption);
        line("Standard errors by the jackknife over items. The rows of paths compare two halves of them: r of the"
                + " halves, and the error by chance of the values of all paths.");
        line("");
        line("| t | by | steps | evaluations per draw | r | error | bias |");
        line("|---:|---|---:|---:|---:|---:|---:|");
    }

    /** Adds the truth of a time. */
    public void truth(double time, int steps, Supplier<Values> values) throws IOException {
        Values found = cell(PATHS, time, steps, values);
        truths.put(time, found);
        ValueAgreement halves = ValueAgreement.of(found.first(), found.second());
        row(
                time,
                PATHS,
                steps,
                found.evaluations(),
                shown(halves.correlation()),
                String.format(Locale.ROOT, "%.3f", found.chance()),
                "");
    }

    /** Adds an estimate at a time whose truth was added. */
    public void estimate(String by, double time, int steps, Supplier<Values> values) throws IOException {
        Values found = cell(by, time, steps, values);
        ValueAgreement agreement =
                ValueAgreement.of(Objects.requireNonNull(truths.get(time)).all(), found.all());
        row(
                time,
                by,
                steps,
                found.evaluations(),
                shown(agreement.correlation()),
                shown(agreement.error()),
                shown(agreement.bias()));
    }

    private Values cell(String by, double time, int steps, Supplier<Values> values) throws IOException {
        JsonNode found = cell(String.format(Locale.ROOT, "t=%s %s %d", time, by, steps), () -> {
            Values measured = values.get();
            ObjectNode cell = CellFile.object()
                    .put("t", time)
                    .put("by", by)
                    .put("steps", steps)
                    .put("evaluations", measured.evaluations());
            set(cell.putArray("first"), measured.first());
            set(cell.putArray("second"), measured.second());
            return cell;
        });
        return new Values(
                numbers(found.path("first")),
                numbers(found.path("second")),
                found.path("evaluations").asLong());
    }

    private static void set(ArrayNode array, double[] numbers) {
        for (double number : numbers) {
            array.add(number);
        }
    }

    private static double[] numbers(JsonNode array) {
        return array.values().stream().mapToDouble(JsonNode::asDouble).toArray();
    }

    private void row(double time, String by, int steps, long evaluations, String r, String error, String bias) {
        line(String.format(
                Locale.ROOT, "| %s | %s | %d | %d | %s | %s | %s |", time, by, steps, evaluations, r, error, bias));
    }
}
