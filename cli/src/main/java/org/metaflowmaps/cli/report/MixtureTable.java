package org.metaflowmaps.cli.report;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.steering.evaluation.MixtureEvaluation.Distance;
import org.metaflowmaps.steering.evaluation.MixtureEvaluation.Settings;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/**
 * The results of {@code mfm evaluate mixture} as tables: a block per time, a row per map.
 *
 * @param settings the evaluation's settings
 * @param floor distances of two exact samples, in the order of the times
 * @param glass results of Euler steps on the exact drift, by their number
 * @param maps results by checkpoint and number of steps
 */
public record MixtureTable(
        Settings settings,
        List<Distance> floor,
        Map<Integer, List<Distance>> glass,
        Map<String, Map<Integer, List<Distance>>> maps) {
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    /** Throws if a file's name has no known ending. */
    public static void checkName(@Nullable Path file) {
        if (file != null && !file.toString().endsWith(".md") && !file.toString().endsWith(".json")) {
            throw new IllegalArgumentException(
                    "--out " + file + ": tables are written as .md or .json, give a name that ends in one of them");
        }
    }

    /** Returns the tables in Markdown. */
    public String markdown() {
        StringBuilder text = new StringBuilder();
        text.append(String.format(
                Locale.ROOT,
                "Means over %d contexts of distances between %d draws and as many exact ones; %d projections, seed %d,"
                        + " no labels.%n",
                settings.contexts(),
                settings.draws(),
                settings.projections(),
                settings.seed()));
        block(text, "Sliced W2", Distance::slicedWasserstein, "%.4f", true);
        if (settings.discrepancy()) {
            block(text, "Unbiased squared MMD", Distance::squaredDiscrepancy, "%.2e", false);
        }
        return text.toString();
    }

    private void block(
            StringBuilder text, String metric, ToDoubleFunction<Distance> value, String format, boolean ratio) {
        for (int i = 0; i < settings.times().size(); i++) {
            int index = i;
            text.append(String.format(
                    Locale.ROOT, "%n%s at t = %s%n%n", metric, settings.times().get(i)));
            List<List<String>> rows = new ArrayList<>();
            rows.add(header(ratio));
            maps.forEach((name, steps) -> {
                List<String> row = new ArrayList<>(List.of(name, number(format, value, floor.get(index))));
                steps.values().forEach(distances -> row.add(number(format, value, distances.get(index))));
                glass.values().forEach(distances -> row.add(number(format, value, distances.get(index))));
                if (ratio) {
                    double first =
                            value.applyAsDouble(steps.values().iterator().next().get(index));
                    row.add(String.format(Locale.ROOT, "%.2f", first / value.applyAsDouble(floor.get(index))));
                }
                rows.add(row);
            });
            print(text, rows);
        }
    }

    private List<String> header(boolean ratio) {
        List<String> header = new ArrayList<>(List.of("map", "floor"));
        maps.values()
                .iterator()
                .next()
                .keySet()
                .forEach(steps -> header.add(steps + (steps == 1 ? " step" : " steps")));
        glass.keySet().forEach(steps -> header.add("GLASS " + steps));
        if (ratio) {
            header.add("1 step / floor");
        }
        return header;
    }

    private static String number(String format, ToDoubleFunction<Distance> value, Distance distance) {
        return String.format(Locale.ROOT, format, value.applyAsDouble(distance));
    }

    private static void print(StringBuilder text, List<List<String>> rows) {
        int columns = rows.getFirst().size();
        int[] widths = new int[columns];
        rows.forEach(row -> {
            for (int column = 0; column < columns; column++) {
                widths[column] = Math.max(widths[column], row.get(column).length());
            }
        });
        for (int i = 0; i < rows.size(); i++) {
            text.append('|');
            for (int column = 0; column < columns; column++) {
                String cell = rows.get(i).get(column);
                String space = " ".repeat(widths[column] - cell.length());
                text.append(' ')
                        .append(column == 0 ? cell + space : space + cell)
                        .append(" |");
            }
            text.append(System.lineSeparator());
            if (i == 0) {
                text.append('|');
                for (int column = 0; column < columns; column++) {
                    text.append(column == 0 ? ":" : "-")
                            .append("-".repeat(widths[column]))
                            .append(column == 0 ? "-|" : ":|");
                }
                text.append(System.lineSeparator());
            }
        }
    }

    /** Returns the settings and all numbers as JSON. */
    public String json() {
        Map<String, Object> tree = new LinkedHashMap<>();
        tree.put("settings", settings);
        tree.put("labels", "none");
        tree.put("sliced_w2", numbers(Distance::slicedWasserstein));
        if (settings.discrepancy()) {
            tree.put("squared_mmd", numbers(Distance::squaredDiscrepancy));
        }
        return JSON.writeValueAsString(tree) + "\n";
    }

    private Map<String, Object> numbers(ToDoubleFunction<Distance> value) {
        Map<String, Object> tree = new LinkedHashMap<>();
        tree.put("floor", list(floor, value));
        tree.put("glass", bySteps(glass, value));
        Map<String, Object> trained = new LinkedHashMap<>();
        maps.forEach((name, steps) -> trained.put(name, bySteps(steps, value)));
        tree.put("maps", trained);
        return tree;
    }

    private static Map<Integer, List<Double>> bySteps(
            Map<Integer, List<Distance>> all, ToDoubleFunction<Distance> value) {
        Map<Integer, List<Double>> tree = new LinkedHashMap<>();
        all.forEach((steps, distances) -> tree.put(steps, list(distances, value)));
        return tree;
    }

    private static List<Double> list(List<Distance> distances, ToDoubleFunction<Distance> value) {
        return distances.stream().map(distance -> value.applyAsDouble(distance)).toList();
    }
}
