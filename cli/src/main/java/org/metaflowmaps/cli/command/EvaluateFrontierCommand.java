package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.zip.CRC32;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.StrengthOption;
import org.metaflowmaps.cli.report.FrontierReport;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.models.sampler.SamplingMemory;
import org.metaflowmaps.runtime.Installation;
import org.metaflowmaps.steering.evaluation.FashionClassifier;
import org.metaflowmaps.steering.evaluation.FashionJudge;
import org.metaflowmaps.steering.evaluation.FrontierCell;
import org.metaflowmaps.steering.evaluation.FrontierFile;
import org.metaflowmaps.steering.evaluation.FrontierSettings;
import org.metaflowmaps.steering.evaluation.SteeringFrontier;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code mfm evaluate frontier}. */
@Command(
        name = "frontier",
        mixinStandardHelpOptions = true,
        description =
                "Compare methods of steering on Fashion-MNIST at equal network evaluations and seconds: the reward log"
                    + " sum w*p(class), the same score by a judge that no method has seen, the distance of the judge's"
                    + " class histogram from w, and diversity. Images have no labels. Finished measurements are stored"
                    + " in frontier.jsonl, and the same command continues after a stop.")
final class EvaluateFrontierCommand implements Callable<Integer> {
    /** More states at once are not faster on a CPU. */
    private static final int ROWS = 256;

    /** A state with a graph needs up to as much memory as this number without. */
    private static final int GRADIENT_SHARE = SteerCommand.GRADIENT_MEMORY;

    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final CheckpointOption checkpoint = new CheckpointOption();

    @Mixin
    private final FrontierOptions options = new FrontierOptions();

    @Mixin
    private final StrengthOption strength = new StrengthOption();

    @Option(
            names = "--batch",
            paramLabel = "B",
            description = "States evaluated at once; changes only rounding and time. Default: up to 256, by the map's"
                    + " memory.")
    private @Nullable Integer batch;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description = "Folder for frontier.jsonl, frontier.md and frontier.png. Default: ${DEFAULT-VALUE}.")
    private Path out = Path.of("runs", "frontier");

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        List<FrontierCell> cells = options.cells();
        options.settings(strength.get(), "", "");
        if (batch != null && batch < 1) {
            throw new IllegalArgumentException("--batch " + batch + " is out of range: give at least 1");
        }
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        try (MetaFlowMap map = EvaluateFashionMnistCommand.fitting(checkpoint.load(device), "the checkpoint");
                FashionClassifier classifier = FashionClassifier.shipped(device.get());
                FashionJudge judge = FashionJudge.shipped(device.get())) {
            FrontierSettings settings = options.settings(
                    strength.get(),
                    "map " + digest(map) + ", classifier " + digest(classifier) + ", judge " + digest(judge),
                    machine());
            int rows = batch != null ? batch : Math.clamp(SamplingMemory.itemsAtOnce(map) / GRADIENT_SHARE, 1, ROWS);
            try (FrontierFile file = FrontierFile.open(out.resolve("frontier.jsonl"), settings);
                    SteeringFrontier study = new SteeringFrontier(map, classifier, judge, file, device.get(), rows);
                    FrontierReport report = new FrontierReport(settings, cells.size(), terminal)) {
                study.run(cells, report);
                report.write(out);
            }
        }
        return 0;
    }

    /** Returns a checksum of a network's weights. */
    private static String digest(Network network) {
        float[] weights = network.parameters().values().toFloatArray();
        ByteBuffer bytes = ByteBuffer.allocate(Math.multiplyExact(weights.length, Float.BYTES));
        bytes.asFloatBuffer().put(weights);
        CRC32 checksum = new CRC32();
        checksum.update(bytes);
        return Long.toHexString(checksum.getValue());
    }

    /** Returns what the seconds depend on: the device, and the threads of one operation on the CPU. */
    private String machine() {
        String threads = Installation.parts().stream()
                .filter(part -> part.name().equals("threads"))
                .map(Installation.Part::found)
                .findFirst()
                .orElse("?");
        return device.get() + " in one process, threads " + threads;
    }
}
