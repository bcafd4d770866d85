package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.PrefixOption;
import org.metaflowmaps.models.checkpoint.CheckpointConversion;
import org.metaflowmaps.models.checkpoint.CheckpointConversion.Fitting;
import org.metaflowmaps.models.checkpoint.CheckpointConversion.Overflow;
import org.metaflowmaps.models.checkpoint.CheckpointLayout;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.runtime.internal.Texts;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm convert}. */
@Command(
        name = "convert",
        mixinStandardHelpOptions = true,
        description =
                "Copy a network between .pt and .safetensors files and between the key layouts of SiT, DMF and MFM.")
public final class ConvertCommand implements Callable<Integer> {
    private static final int LISTED = 20;

    /** Element types of weights. */
    enum Type {
        f32(DType.FLOAT32),
        f16(DType.FLOAT16),
        bf16(DType.BFLOAT16);

        private final DType type;

        Type(DType type) {
            this.type = type;
        }
    }

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(
            index = "0",
            paramLabel = "IN",
            description = "A .safetensors file, one of torch.save, or a folder of shards with an index.")
    private Path in = Path.of("");

    @Parameters(index = "1", paramLabel = "OUT", description = "A .safetensors or .pt file, replaced if it exists.")
    private Path out = Path.of("");

    @Mixin
    private final PrefixOption prefix = new PrefixOption();

    @Option(
            names = "--out-prefix",
            paramLabel = "PREFIX",
            description = "Prefix of the new names. Default: dit. for meta flow maps and mfm's own checkpoints, else"
                    + " none. With ema. a .pt file has the network in a dict 'ema', like SiT's training"
                    + " checkpoints.")
    private @Nullable String outPrefix;

    @Option(
            names = "--dtype",
            paramLabel = "TYPE",
            description = "${COMPLETION-CANDIDATES}. Default: the file's own, bit for bit.")
    private @Nullable Type type;

    @Option(
            names = "--allow-infinite",
            description = "Write infinity for values that are too large for --dtype, instead of refusing the file.")
    private boolean infinite;

    @Option(
            names = "--lenient",
            description = "List missing and unexpected tensors and copy the others, instead of refusing the file.")
    private boolean lenient;

    @Override
    public Integer call() throws IOException {
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        try (TensorFile open = TensorFile.open(in)) {
            CheckpointLayout layout = layout(open);
            String before = outPrefix != null ? outPrefix : CheckpointConversion.usualPrefix(open, layout);
            CheckpointConversion.Result result;
            try {
                result = CheckpointConversion.convert(
                        open,
                        layout,
                        out,
                        before,
                        type == null ? null : type.type,
                        lenient ? Fitting.LENIENT : Fitting.WHOLE,
                        infinite ? Overflow.INFINITY : Overflow.REFUSE);
            } catch (IllegalArgumentException e) {
                throw new IOException(in + ": " + advised(String.valueOf(e.getMessage())), e);
            } catch (IOException e) {
                String message = String.valueOf(e.getMessage());
                throw message.startsWith("cannot write") ? e : new IOException(in + ": " + advised(message), e);
            }
            terminal.println(layout);
            list(terminal, result.fit().problems(), "tensors do not fit:");
            list(terminal, result.left(), "tensors do not belong to the network and were left out:");
            terminal.printf(Locale.ROOT, "%s: %,d tensors, %,d bytes%n", out, result.tensors(), result.bytes());
        }
        terminal.flush();
        return 0;
    }

    /** Adds the option to the library's advice. */
    private static String advised(String message) {
        return message.endsWith("a lenient conversion")
                ? message + " (--lenient)"
                : message.endsWith("allow infinities") ? message + " (--allow-infinite)" : message;
    }

    private CheckpointLayout layout(TensorFile open) throws IOException {
        Optional<CheckpointLayout> found = prefix.find(open, in);
        if (found.isEmpty() && !lenient) {
            throw new IOException(in
                    + " has no known network: see mfm inspect, name the network with --prefix, or copy all tensors "
                    + "with --lenient");
        }
        return found.orElseGet(() -> CheckpointLayout.at(open, ""));
    }

    private static void list(PrintWriter terminal, List<String> lines, String title) {
        if (!lines.isEmpty()) {
            terminal.println(lines.size() + " " + title);
            lines.stream().limit(LISTED).forEach(line -> terminal.println("  " + Texts.oneLine(line)));
            if (lines.size() > LISTED) {
                terminal.println("  ...");
            }
        }
    }
}
