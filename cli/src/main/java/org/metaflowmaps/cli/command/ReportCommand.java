package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.report.RunReport;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm report}. */
@Command(
        name = "report",
        mixinStandardHelpOptions = true,
        description = "Write one HTML page about a run of mfm train or mfm finetune, from its metrics, configuration"
                + " and pictures; or one that compares several runs. A run may still be going on.")
public final class ReportCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(arity = "1..*", paramLabel = "RUN", description = "The folder of a run.")
    private List<Path> runs = List.of();

    @Option(
            names = "--out",
            paramLabel = "FILE",
            description = "The page. Default: run-report.html in the run's folder; comparison.html for several runs.")
    private @Nullable Path out;

    @Override
    public Integer call() throws IOException {
        Path file = out != null
                ? out
                : runs.size() == 1 ? runs.getFirst().resolve("run-report.html") : Path.of("comparison.html");
        if (!file.toString().endsWith(".html")) {
            throw new IllegalArgumentException("--out " + file + ": give a name that ends in .html");
        }
        RunReport report = RunReport.read(runs);
        report.write(file);
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        report.summary().forEach(terminal::println);
        terminal.println(file);
        terminal.flush();
        return 0;
    }
}
