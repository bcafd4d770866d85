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
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.Resource;
import org.metaflowmaps.cli.selfcheck.Selfcheck;
import org.metaflowmaps.runtime.DType;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code mfm selfcheck}. */
@Command(
        name = "selfcheck",
        mixinStandardHelpOptions = true,
        description =
                "Compare this machine's results with reference values: one line per case, exit code 1 if any is off.")
public final class SelfcheckCommand implements Callable<Integer> {
    private static final List<String> SHIPPED =
            List.of("tiny.safetensors", "tiny-qknorm.safetensors", "tiny-joint.safetensors");

    /** Element types of the computation. */
    enum Type {
        float32(DType.FLOAT32),
        float64(DType.FLOAT64);

        private final DType type;

        Type(DType type) {
            this.type = type;
        }
    }

    @Spec
    private @Nullable CommandSpec spec;

    @Option(
            names = "--fixtures",
            paramLabel = "DIR",
            description =
                    "Check the .safetensors files of this folder, and its tokens.json with ids of tokenizers, instead"
                            + " of those included in mfm.")
    private @Nullable Path fixtures;

    @Option(
            names = "--only",
            paramLabel = "NAME",
            description = "Run only cases whose name contains this (a regular expression).")
    private String only = "";

    @Option(
            names = "--dtype",
            paramLabel = "TYPE",
            description = "Element type, ${COMPLETION-CANDIDATES}; float64 has bounds of 1e-7 for "
                    + "values and 2e-5 for gradients (default: ${DEFAULT-VALUE}).")
    private Type dtype = Type.float32;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        int passed = 0;
        int failed = 0;
        int uncovered = 0;
        for (Path file : files()) {
            out.println(file.getFileName() + " on " + device.get() + ", " + dtype);
            for (Selfcheck.Outcome outcome : Selfcheck.run(file, device.get(), dtype.type, Pattern.compile(only))) {
                out.println(line(outcome));
                switch (outcome.status()) {
                    case PASS -> passed++;
                    case FAIL -> failed++;
                    case NOT_COVERED -> uncovered++;
                }
            }
        }
        out.println(
                passed + " passed, " + failed + " failed" + (uncovered == 0 ? "" : ", " + uncovered + " not covered"));
        out.flush();
        if (passed + failed + uncovered == 0) {
            throw new IllegalArgumentException("no case matches '" + only + "'");
        }
        return failed == 0 ? 0 : 1;
    }

    private static String line(Selfcheck.Outcome outcome) {
        if (outcome.status() == Selfcheck.Status.NOT_COVERED) {
            return String.format(
                    Locale.ROOT,
                    "  ----  %-40s not covered%s",
                    outcome.name(),
                    outcome.worst().isEmpty() ? "" : ": " + outcome.worst());
        }
        return String.format(
                Locale.ROOT,
                "  %s  %-40s %.1e  (%s)%s",
                outcome.status() == Selfcheck.Status.PASS ? "pass" : "FAIL",
                outcome.name(),
                outcome.error(),
                outcome.worst(),
                Double.isNaN(outcome.condition()) ? "" : String.format(Locale.ROOT, "  κ %.1f", outcome.condition()));
    }

    private List<Path> files() throws IOException {
        if (fixtures != null) {
            if (!Files.isDirectory(fixtures)) {
                throw new IOException(fixtures
                        + " is not a folder: give --fixtures a folder with .safetensors files of reference values");
            }
            return Selfcheck.files(fixtures);
        }
        List<Path> copies = new ArrayList<>();
        for (String name : SHIPPED) {
            copies.add(Resource.copy("parity/" + name));
        }
        return copies;
    }
}
