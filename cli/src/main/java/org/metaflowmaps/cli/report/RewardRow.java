package org.metaflowmaps.cli.report;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * The rewards of one method's samples, and their cost.
 *
 * @param name of the method
 * @param rewards of its samples, without the strength; at least one
 * @param evaluations network evaluations per sample, counted as in the paper
 * @param seconds of all samples
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record RewardRow(String name, double[] rewards, long evaluations, double seconds) {
    /** The headings of {@link #cells}. */
    static final List<String> HEADER = List.of("", "mean reward", "s.e.", "n", "NFE", "seconds");

    /** Returns the mean. */
    double mean() {
        return Arrays.stream(rewards).average().orElse(Double.NaN);
    }

    /** Returns the standard error of the mean; NaN for one sample. */
    double standardError() {
        double mean = mean();
        double squares = Arrays.stream(rewards)
                .map(reward -> (reward - mean) * (reward - mean))
                .sum();
        return Math.sqrt(squares / (rewards.length - 1) / rewards.length);
    }

    /** Returns a table's row. */
    List<String> cells() {
        return List.of(
                name,
                String.format(Locale.ROOT, "%.4f", mean()),
                rewards.length > 1 ? String.format(Locale.ROOT, "%.4f", standardError()) : "-",
                Integer.toString(rewards.length),
                Long.toString(evaluations),
                String.format(Locale.ROOT, "%.1f", seconds));
    }
}
