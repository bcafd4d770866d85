package org.metaflowmaps.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.evaluation.DriftDisagreement;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.model.MetaFlowMap;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code mfm evaluate drift}. */
@Command(name = "drift", mixinStandardHelpOptions = true,
        description = "Compare three ways of reading the unconditional drift from a map of Fashion-MNIST, on test images noised "
                + "to some times: a perfect map's do not differ but for the chance of the draws.")
final class EvaluateDriftCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final CheckpointOption checkpoint = new CheckpointOption();

    @Option(names = "--times", paramLabel = "T", split = ",",
            description = "Times of the drift, from 0 to below 1. Default: ${DEFAULT-VALUE}.",
            defaultValue = "0.2,0.5,0.8")
    private List<Double> times = List.of();

    @Option(names = "--images", paramLabel = "N", description = "Test images, the first N. Default: ${DEFAULT-VALUE}.")
    private int images = 64;

    @Option(names = "--draws", paramLabel = "N",
            description = "One-step draws per image, an even number. Default: ${DEFAULT-VALUE}.")
    private int draws = 64;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        LabelledImages test = FashionMnist.test();
        if (images < 1 || images > test.count()) {
            throw new IllegalArgumentException("--images " + images + " is out of range: give 1 to " + test.count());
        }
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        try (MetaFlowMap map = EvaluateFashionMnistCommand.fitting(checkpoint.load(device.get()), "the checkpoint");
                RandomSource random = RandomSource.seeded(seed, device.get());
                TensorScope scope = TensorScope.open()) {
            Tensor items = ImageData.items(test, 0, images, device.get());
            Tensor labels = ImageData.labels(test, 0, images, device.get());
            terminal.println("Root mean square per pixel of the drift at an empty context, and of its differences to the drift "
                    + "from the start of the posterior's flow and from " + draws + " one-step draws:");
            terminal.printf("%5s %10s %15s %15s %15s %18s%n", "t", "drift", "empty - start", "empty - draws", "start - draws",
                    "chance of draws");
            for (double time : times) {
                DriftDisagreement found = DriftDisagreement.of(map, items, labels, time, draws, random);
                terminal.printf(Locale.ROOT, "%5s %10.4f %15.4f %15.4f %15.4f %18.4f%n", time, found.drift(),
                        found.emptyToStart(), found.emptyToDraws(),
                        found.startToDraws(), found.chance());
                terminal.flush();
            }
        }
        return 0;
    }
}
