package org.metaflowmaps.cli.report;

import java.io.PrintWriter;

/** Prints mean rewards with their standard errors and costs. */
public final class RewardTable {
    private static final String LINE = "%-18s %14s %10s %8s %12s %10s%n";

    private final PrintWriter out;

    /** Prints the head. */
    public RewardTable(PrintWriter out) {
        this.out = out;
        out.printf(LINE, RewardRow.HEADER.toArray());
        out.flush();
    }

    /** Prints a row. */
    public void row(RewardRow row) {
        out.printf(LINE, row.cells().toArray());
        out.flush();
    }

    /** Prints a row: see {@link RewardRow}. */
    public void row(String name, double[] rewards, long evaluations, double seconds) {
        row(new RewardRow(name, rewards, evaluations, seconds));
    }
}
