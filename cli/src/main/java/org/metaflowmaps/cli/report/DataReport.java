package org.metaflowmaps.cli.report;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.metaflowmaps.runtime.internal.Texts;
import org.metaflowmaps.training.data.DataCheck;

/** The output of {@code mfm inspect} for a folder of data. */
public final class DataReport {
    /** The most damaged items to list. */
    private static final int LISTED = 50;

    private DataReport() {}

    /** Returns whether a path is a folder, or an archive of latents, that looks like training data. */
    public static boolean isData(Path path) throws IOException {
        return (Files.isDirectory(path) || path.toString().endsWith(".zip"))
                && DataCheck.kind(path).isPresent();
    }

    /** Checks every item, and returns the command's exit code: 1 if one is damaged. */
    public static int print(Path folder, DataCheck.Expected expected, PrintWriter out) throws IOException {
        DataCheck.Report report = DataCheck.of(folder, LISTED, expected);
        out.println("data.kind: " + report.kind());
        report.summary().forEach(out::println);
        out.println(report.damaged() == 0 ? "all items can be read" : report.damaged() + " damaged:");
        report.problems().forEach(problem -> out.println("  " + Texts.oneLine(problem)));
        if (report.damaged() > report.problems().size()) {
            out.println("  ... and " + (report.damaged() - report.problems().size()) + " more");
        }
        out.flush();
        return report.damaged() == 0 ? 0 : 1;
    }
}
