package org.metaflowmaps.cli.report;

import java.io.PrintWriter;
import java.util.Arrays;
import java.util.Locale;

/** Prints mean rewards with their standard errors and costs. */
public final class RewardTable {
    private final PrintWriter out;

    /** Prints the head. */
    public RewardTable(PrintWriter out) {
        this.out = out;
        out.printf("%-18s %14s %10s %8s %12s %10s%n", "", "mean reward", "s.e.", "n", "NFE", "seconds");
        out.flush();
    }

    /**
     * Prints a row.
     *
     * @param name of the method
     * @param rewards of its samples, without the strength
     * @param evaluations network evaluations per sample, counted as in the paper
     * @param seconds of all samples
     */
    public void row(String name, double[] rewards, long evaluations, double seconds) {
        double mean = Arrays.stream(rewards).average().orElse(Double.NaN);
        double squares = Arrays.stream(rewards)
                .map(reward -> (reward - mean) * (reward - mean))
                .sum();
        double error = Math.sqrt(squares / (rewards.length - 1) / rewards.length);
        out.printf(
                Locale.ROOT,
                "%-18s %14.4f %10s %8d %12d %10.1f%n",
                name,
                mean,
                rewards.length > 1 ? String.format(Locale.ROOT, "%.4f", error) : "-",
                rewards.length,
                evaluations,
                seconds);
        out.flush();
    }
}
