package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.PrefixOption;
import org.metaflowmaps.cli.report.DataReport;
import org.metaflowmaps.models.checkpoint.CheckpointConversion;
import org.metaflowmaps.models.checkpoint.CheckpointLayout;
import org.metaflowmaps.models.checkpoint.Fit;
import org.metaflowmaps.models.checkpoint.InferredConfig;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.runtime.internal.Texts;
import org.metaflowmaps.training.data.DataCheck;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm inspect}. */
@Command(
        name = "inspect",
        mixinStandardHelpOptions = true,
        description = "Show a file's tensors, its network and whether it is complete. Reads no values and runs no code"
                + " of the file.")
public final class InspectCommand implements Callable<Integer> {
    private static final int TEXT = 60;

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(
            index = "0",
            paramLabel = "FILE",
            description = "A .safetensors file, one of torch.save, or a folder of shards with an index; "
                    + "or a folder of data, of which all items are checked.")
    private Path file = Path.of("");

    @Option(
            names = "--channels",
            paramLabel = "N",
            description = "For a folder of latents: data.channels of the training configuration. Separates means"
                    + " from log variances.")
    private @Nullable Integer channels;

    @Option(
            names = "--classes",
            paramLabel = "N",
            description =
                    "For a folder of latents or IDX files: data.classes of the configuration. Labels from N on count"
                            + " as damaged.")
    private @Nullable Integer classes;

    @Mixin
    private final PrefixOption prefix = new PrefixOption();

    @Override
    public Integer call() throws IOException {
        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        if (DataReport.isData(file)) {
            return DataReport.print(file, new DataCheck.Expected(channels, classes), out);
        }
        if (channels != null || classes != null) {
            throw new IOException(file + " is not a folder of data: --channels and --classes are for those");
        }
        try (TensorFile open = TensorFile.open(file)) {
            layout(out, open);
            long elements = 0;
            long bytes = 0;
            for (TensorFile.Entry entry : open.entries().values()) {
                elements += entry.elements();
                bytes += entry.byteSize();
            }
            out.printf(
                    Locale.ROOT,
                    "%,d tensors, %,d numbers, %,d bytes%n",
                    open.entries().size(),
                    elements,
                    bytes);
            for (Map.Entry<String, String> text : open.metadata().entrySet()) {
                out.println("metadata " + shown(text.getKey(), TEXT) + " = " + shown(text.getValue(), TEXT));
            }
            out.println();
            int width = open.entries().keySet().stream()
                    .mapToInt(String::length)
                    .max()
                    .orElse(0);
            String line = "%-" + Math.clamp(width, 1, 80) + "s  %-8s  %s%n";
            for (TensorFile.Entry entry : open.entries().values()) {
                out.printf(line, shown(entry.name(), Integer.MAX_VALUE), entry.dtype(), entry.shape());
            }
            open.unreadable()
                    .forEach((name, why) -> out.println(
                            shown(name, Integer.MAX_VALUE) + "  not read: " + shown(why, Integer.MAX_VALUE)));
        }
        out.flush();
        return 0;
    }

    private void layout(PrintWriter out, TensorFile open) throws IOException {
        Optional<CheckpointLayout> found = prefix.find(open, file);
        if (found.isEmpty()) {
            out.println("layout: unknown");
            return;
        }
        CheckpointLayout layout = found.get();
        long parameters = layout.names(open).entrySet().stream()
                .filter(name -> !name.getKey().endsWith("pos_embed"))
                .mapToLong(name -> Objects.requireNonNull(open.entries().get(name.getValue()))
                        .elements())
                .sum();
        out.println("layout: " + layout);
        if (layout.family() != CheckpointLayout.Family.OTHER && !open.metadata().containsKey("network")) {
            out.println("is_zero_data: "
                    + layout.zeroData()
                            .map(zeroData -> zeroData + ", according to its logvar_linear")
                            .orElse("not in the file: set it to train from this file"));
        }
        out.printf(Locale.ROOT, "parameters: %,d%n", parameters);
        if (layout.family() == CheckpointLayout.Family.OTHER) {
            return;
        }
        try {
            out.println("network: " + InferredConfig.of(open, layout));
            Fit fit = CheckpointConversion.fit(open, layout);
            out.println(
                    fit.isExact()
                            ? "whole: every tensor of such a network is there, and no other"
                            : "not whole in " + fit.places() + " places:");
            fit.problems().forEach(problem -> out.println("  " + shown(problem, Integer.MAX_VALUE)));
        } catch (IOException e) {
            out.println("not whole: " + e.getMessage());
        }
    }

    /** Returns a text of a file, safe for a terminal. */
    private static String shown(String text, int length) {
        String cut = text.length() <= length ? text : text.substring(0, length) + "...";
        return Texts.oneLine(cut);
    }
}
