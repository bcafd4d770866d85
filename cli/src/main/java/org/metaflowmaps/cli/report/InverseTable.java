package org.metaflowmaps.cli.report;

import java.io.PrintWriter;
import java.util.Locale;
import org.metaflowmaps.steering.evaluation.InverseEvaluation;

/** Prints a row for each image of an inverse problem, and the means of all. */
public final class InverseTable {
    private final PrintWriter out;
    private double truth;
    private double fit;
    private double observed;
    private double hidden;
    private int rows;

    /** Prints the head. */
    public InverseTable(PrintWriter out) {
        this.out = out;
        out.printf(
                Locale.ROOT,
                "%5s  %-12s %14s %16s %16s %14s%n",
                "image",
                "class",
                "chi2/n truth",
                "chi2/n samples",
                "spread observed",
                "spread hidden");
        out.flush();
    }

    /** Prints an image's row. */
    public void row(int image, String name, InverseEvaluation.Result result) {
        rows++;
        truth += result.truth();
        fit += result.fit();
        observed += result.observedSpread() * result.observedSpread();
        hidden += result.hiddenSpread() * result.hiddenSpread();
        print(
                Integer.toString(image),
                name,
                result.truth(),
                result.fit(),
                result.observedSpread(),
                result.hiddenSpread());
    }

    /** Prints the means, of spreads the root mean squares. */
    public void end() {
        print("mean", "", truth / rows, fit / rows, Math.sqrt(observed / rows), Math.sqrt(hidden / rows));
    }

    private void print(String image, String name, double... values) {
        out.printf(
                Locale.ROOT,
                "%5s  %-12s %14.3f %16.3f %16.4f %14.4f%n",
                image,
                name,
                values[0],
                values[1],
                values[2],
                values[3]);
        out.flush();
    }
}
