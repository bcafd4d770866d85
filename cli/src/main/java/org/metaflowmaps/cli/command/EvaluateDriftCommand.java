package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.ItemsConfigOption;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.evaluation.DriftDisagreement;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code mfm evaluate drift}. */
@Command(
        name = "drift",
        mixinStandardHelpOptions = true,
        description =
                "Compare three ways to read the unconditional drift from a map, on items of its data noised to some"
                        + " times. For a perfect map they differ only by the sampling error of the draws.")
final class EvaluateDriftCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final CheckpointOption checkpoint = new CheckpointOption();

    @Mixin
    private final ItemsConfigOption config = new ItemsConfigOption();

    @Mixin
    private final GuidanceOption guidance = new GuidanceOption();

    @Option(
            names = "--times",
            paramLabel = "T",
            split = ",",
            description = "Times of the drift, from 0 to below 1. Default: ${DEFAULT-VALUE}.",
            defaultValue = "0.2,0.5,0.8")
    private List<Double> times = List.of();

    @Option(names = "--items", paramLabel = "N", description = "Number of items. Default: ${DEFAULT-VALUE}.")
    private int count = 64;

    @Option(
            names = "--draws",
            paramLabel = "N",
            description = "One-step draws per item, an even number. Default: ${DEFAULT-VALUE}.")
    private int draws = 64;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        if (count < 1) {
            throw new IllegalArgumentException("--items " + count + " is out of range: give at least 1");
        }
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        FreeMemory.require(
                "--items " + count + " with --draws " + draws,
                draws > 0 ? 256L * Math.min(count, 64) * draws + 64L * count : 0,
                "lower them");
        try (MetaFlowMap map = checkpoint.loadAny(device);
                RandomSource random = RandomSource.seeded(seed, device.get());
                TensorScope scope = TensorScope.open()) {
            EvaluationItems items =
                    EvaluationItems.of(map, checkpoint, config.get().orElse(null), count, device.get());
            Condition condition =
                    GuidanceOption.of(guidance.scale(map), map, map.classes() == 0 ? null : items.labels());
            terminal.println(count + " items of " + items.source()
                    + ". Root mean square per entry of the drift at an empty context, and of its "
                    + "differences to the drift from the start of the posterior's flow and from " + draws
                    + " one-step draws:");
            terminal.printf(
                    "%5s %10s %15s %15s %15s %18s%n",
                    "t", "drift", "empty - start", "empty - draws", "start - draws", "chance of draws");
            for (double time : times) {
                DriftDisagreement found = DriftDisagreement.of(map, items.clean(), condition, time, draws, random);
                terminal.printf(
                        Locale.ROOT,
                        "%5s %10.4f %15.4f %15.4f %15.4f %18.4f%n",
                        time,
                        found.drift(),
                        found.emptyToStart(),
                        found.emptyToDraws(),
                        found.startToDraws(),
                        found.chance());
                terminal.flush();
            }
        }
        return 0;
    }
}
