package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.report.PlanReport;
import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.plan.StepPlan;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm plan}. */
@Command(
        name = "plan",
        mixinStandardHelpOptions = true,
        description = "Show what a training step of a configuration needs: operations, memory, the largest batch that"
                + " fits, and a GPU's launches. Everything is computed from the configuration; no run is started, and"
                + " no GPU is needed.")
public final class PlanCommand implements Callable<Integer> {
    private static final double GIB = 0x1p30;

    /** The memory of the GPUs on which such networks are usually trained. */
    private static final double GPU_MEMORY = 80;

    /** Devices of a plan, which need not be there. */
    enum Kind {
        cuda(Device.Type.CUDA),
        cpu(Device.Type.CPU);

        private final Device.Type type;

        Kind(Device.Type type) {
            this.type = type;
        }
    }

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(
            index = "0",
            paramLabel = "CONFIG",
            description = "A YAML file or a built-in configuration, as of mfm train.")
    private String config = "";

    @Parameters(
            index = "1..*",
            paramLabel = "key=value",
            description = "Settings that override the file's, such as recompute=true.")
    private List<String> overrides = new ArrayList<>();

    @Option(
            names = "--device",
            paramLabel = "DEVICE",
            description = "Where the run would be: ${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
    private Kind device = Kind.cuda;

    @Option(
            names = "--memory",
            paramLabel = "GIB",
            description = "The device's memory in GiB. Default: 80 for cuda, this machine's free memory for cpu.")
    private @Nullable Double memory;

    @Option(
            names = "--tflops",
            paramLabel = "RATE",
            description = "A rate of matrix products in TFLOP/s, such as the GPU's data sheet states: also print the"
                    + " least time of a step at that rate.")
    private @Nullable Double rate;

    @Option(
            names = "--draws",
            paramLabel = "N",
            description = "Also print the operations of a step of mfm steer --method mfm-g with N draws.")
    private @Nullable Integer draws;

    @Option(names = "--json", description = "Print JSON, with bytes and operations as plain numbers.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        requirePositive("--memory", memory, "GiB");
        requirePositive("--tflops", rate, "TFLOP/s");
        TrainConfig settings = Configs.load(config, overrides).config();
        requireDraws(settings.model().network());
        PlanReport report = new PlanReport(
                config,
                settings,
                device.type,
                StepPlan.of(settings, device.type),
                bytes(),
                rate == null ? 0 : rate,
                draws == null ? 0 : draws);
        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        out.print(json ? report.json() : report.text());
        out.flush();
        return 0;
    }

    private void requireDraws(NetworkConfig network) {
        if (draws == null) {
            return;
        }
        if (draws < 1) {
            throw new IllegalArgumentException("--draws is " + draws + ", expected at least 1");
        }
        Layout layout = switch (network) {
            case TransformerConfig transformer -> transformer.layout();
            case MlpConfig mlp -> mlp.layout();
        };
        if (layout != Layout.META_FLOW_MAP) {
            throw new IllegalArgumentException("--draws is " + draws + ", but the network of " + config
                    + " has no context, so it has no posterior draws: give a meta flow map's configuration");
        }
    }

    private double bytes() {
        if (memory != null) {
            return memory * GIB;
        }
        if (device == Kind.cuda) {
            return GPU_MEMORY * GIB;
        }
        long free = FreeMemory.bytes();
        if (free == Long.MAX_VALUE) {
            throw new IllegalArgumentException("this system does not report its free memory: give --memory");
        }
        return (double) free;
    }

    private static void requirePositive(String option, @Nullable Double value, String unit) {
        if (value != null && !(value > 0 && value < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(option + " is " + value + ", expected a number of " + unit + " above 0");
        }
    }
}
