package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Installation;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code mfm doctor}. */
@Command(
        name = "doctor",
        mixinStandardHelpOptions = true,
        description =
                "Show versions and paths of native software, threads and devices, and how to install missing parts.")
public final class DoctorCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        print(
                out,
                "java",
                System.getProperty("java.vendor") + " " + System.getProperty("java.version") + " ("
                        + System.getProperty("java.home") + ")");
        print(
                out,
                "system",
                System.getProperty("os.name") + " " + System.getProperty("os.version") + ", "
                        + System.getProperty("os.arch") + ", "
                        + Runtime.getRuntime().availableProcessors() + " processors");
        Path here = Path.of("").toAbsolutePath();
        print(
                out,
                "disk",
                String.format(
                        Locale.ROOT,
                        "%.1f GiB free at %s",
                        Files.getFileStore(here).getUsableSpace() / 0x1p30,
                        here));
        List<String> cures = new ArrayList<>();
        for (Installation.Part part : Installation.parts()) {
            print(out, part.name(), part.found());
            part.cure().ifPresent(cure -> cures.add(part.name() + ": " + cure));
        }
        out.println();
        if (cures.isEmpty()) {
            out.println("Nothing is missing.");
        } else {
            out.println("What could be better, and how:");
            cures.forEach(cure -> out.println("  " + cure));
        }
        out.flush();
        return 0;
    }

    private static void print(PrintWriter out, String name, String value) {
        out.printf("%-16s %s%n", name, value);
    }
}
