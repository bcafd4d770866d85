package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.channels.Channels;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.CudaRuntime;
import org.metaflowmaps.bindings.Libtorch;
import org.metaflowmaps.cli.bench.Bench;
import org.metaflowmaps.cli.bench.BenchResult;
import org.metaflowmaps.cli.bench.BenchSize;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.file.AtomicFile;
import org.metaflowmaps.training.config.Precision;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** {@code mfm bench}. */
@Command(
        name = "bench",
        mixinStandardHelpOptions = true,
        description = "Measure operations, training, sampling, steering and files with networks of random weights.",
        footer = {
            "",
            "TFLOP/s are counted for a network of depth blocks, width D, L tokens and ratio r, per item and pass:",
            "depth*((8+4r)*D*D*L + 4*D*L*L + 12*D*D) + patches. A training step of the flow counts 3 passes, with",
            "MeanFlow's loss 7; a steered step 1, and 2 per posterior draw. The share is of the best matrix product of",
            "the same run and precision."
        })
public final class BenchCommand implements Callable<Integer> {
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    /** What to measure. */
    enum Part {
        ops,
        kernels,
        train,
        sample,
        steer,
        io
    }

    /** The names of precisions in configuration files. */
    enum Type {
        float32(Precision.FLOAT32),
        bfloat16(Precision.BFLOAT16);

        private final Precision precision;

        Type(Precision precision) {
            this.precision = precision;
        }
    }

    @Spec
    private @Nullable CommandSpec spec;

    @Option(
            names = "--only",
            paramLabel = "PART",
            split = ",",
            description = "What to measure: ${COMPLETION-CANDIDATES}, separated by commas. Default: everything.")
    private List<Part> only = List.of(Part.values());

    @Option(
            names = "--size",
            paramLabel = "SIZE",
            description = "The network: ${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
    private BenchSize size = BenchSize.tiny;

    @Option(names = "--batch", paramLabel = "N", description = "Items at once. Default: by the size, from 4 to 64.")
    private int batch;

    @Option(
            names = "--repetitions",
            paramLabel = "N",
            description = "Timed runs of each case, after two that are not. Default: ${DEFAULT-VALUE}.")
    private int repetitions = 5;

    @Option(
            names = "--precision",
            paramLabel = "TYPE",
            description = "Precision of the network: ${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
    private Type type = Type.float32;

    @Option(names = "--out", paramLabel = "FILE", description = "Also write the results to a JSON file.")
    private @Nullable Path out;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        if (batch < 0 || repetitions < 1) {
            throw new IllegalArgumentException(
                    "--batch " + batch + " --repetitions " + repetitions + " is out of range: give at least 1 of each");
        }
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        int items = batch == 0 ? size.batch() : batch;
        List<BenchResult> results = new ArrayList<>();
        Bench bench = new Bench(size, items, device.get(), type.precision, repetitions, result -> {
            results.add(result);
            print(terminal, result);
        });
        terminal.printf(
                Locale.ROOT,
                "%s, batch %d, %s on %s, %d threads%n",
                size,
                items,
                type,
                device.get(),
                Libtorch.info().threads());
        run(bench, EnumSet.copyOf(only));
        Map<String, Object> memory = memory();
        memory.forEach((name, bytes) -> terminal.println(name + " " + bytes));
        terminal.flush();
        if (out != null) {
            write(out, items, results, memory);
        }
        return 0;
    }

    private static void run(Bench bench, Set<Part> parts) throws IOException {
        bench.ceiling();
        for (Part part : parts) {
            switch (part) {
                case ops -> bench.operations();
                case kernels -> bench.kernels();
                case train -> bench.training();
                case sample -> bench.sampling();
                case steer -> bench.steering();
                case io -> bench.files();
            }
        }
    }

    private static void print(PrintWriter terminal, BenchResult result) {
        StringBuilder line = new StringBuilder(String.format(Locale.ROOT, "%-6s %-24s", result.group(), result.name()));
        result.values()
                .forEach((name, value) -> line.append(' ')
                        .append(name)
                        .append(String.format(Locale.ROOT, value < 100 ? " %.3g" : " %.0f", value)));
        terminal.println(line);
        terminal.flush();
    }

    /** Returns the most memory that the process had, and what the GPU has in use now, in bytes. */
    private Map<String, Object> memory() throws IOException {
        Map<String, Object> memory = new LinkedHashMap<>();
        peak().ifPresent(bytes -> memory.put("peak_host_bytes", bytes));
        if (device.get().type() == Device.Type.CUDA) {
            CudaRuntime.Memory used = CudaRuntime.memory(device.get().index());
            // libtorch keeps freed memory, so this is close to its peak.
            memory.put("device_bytes_in_use", used.total() - used.free());
        }
        return memory;
    }

    /** Returns Linux's high-water mark of this process. */
    private static OptionalLong peak() throws IOException {
        Path status = Path.of("/proc/self/status");
        if (!Files.isReadable(status)) {
            return OptionalLong.empty();
        }
        return Files.readAllLines(status).stream()
                .filter(line -> line.startsWith("VmHWM:"))
                .mapToLong(line -> 1024 * Long.parseLong(line.replaceAll("\\D", "")))
                .findFirst();
    }

    private void write(Path file, int items, List<BenchResult> results, Map<String, Object> memory) throws IOException {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("size", size.toString());
        all.put("batch", items);
        all.put("precision", type.toString());
        all.put("device", device.get().toString());
        if (device.get().type() == Device.Type.CUDA) {
            all.put("device_name", CudaRuntime.device(device.get().index()).name());
        }
        all.put("threads", Libtorch.info().threads());
        all.put("libtorch", Libtorch.info().version());
        all.put("java", System.getProperty("java.version"));
        all.put("forward_flops_per_item", size.forwardFlops());
        all.putAll(memory);
        List<Map<String, Object>> cases = new ArrayList<>();
        for (BenchResult result : results) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("group", result.group());
            one.put("name", result.name());
            one.putAll(result.values());
            cases.add(one);
        }
        all.put("cases", cases);
        byte[] json = JSON.writeValueAsBytes(all);
        AtomicFile.write(
                file, json.length, channel -> Channels.newOutputStream(channel).write(json));
    }
}
