package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.ItemsConfigOption;
import org.metaflowmaps.cli.option.RewardInputOption;
import org.metaflowmaps.cli.report.CellFile;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.evaluation.NoisedItems;
import org.metaflowmaps.steering.reward.RewardSpec;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ObjectNode;

/** The options that evaluations of posterior draws at noised items share. */
final class NoisedRun {
    /** Weights per step of a checksum. */
    private static final long CHUNK = 1L << 20;

    private static final int MOST_DRAWS = 4096;
    private static final int FEWEST = 4;
    private static final int USUAL = 32;
    private static final int QUICK = 8;

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
            description = "Times that items are noised to, above 0 and below 1. Default: ${DEFAULT-VALUE}.",
            defaultValue = "0.1,0.2,0.3,0.5")
    private List<Double> times = List.of();

    @Option(
            names = "--items",
            paramLabel = "N",
            description = "Items to noise, at least 4. Default: " + USUAL + ", with --quick " + QUICK + ".")
    private @Nullable Integer count;

    @Option(
            names = "--unlabelled",
            description = "Give the map no labels, if it has classes and was trained without labels too.")
    private boolean unlabelled;

    @Option(names = "--quick", description = "Small sizes for a first look: about a minute on one core.")
    private boolean quick;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description = "Folder for the results, a table and JSON lines. A stopped evaluation continues there."
                    + " Default: ${DEFAULT-VALUE}.")
    private Path out = Path.of("runs", "evaluation");

    @Mixin
    private final DeviceOption device = new DeviceOption();

    /** Throws if an option is out of range, before libtorch is loaded. */
    void check() {
        for (double time : times) {
            if (!(time > 0 && time < 1)) {
                throw new IllegalArgumentException(
                        "--times " + time + " is out of range: give times above 0 and below 1");
            }
        }
        if (count() < FEWEST) {
            throw new IllegalArgumentException(
                    "--items " + count() + " is out of range: give at least " + FEWEST + ", for standard errors");
        }
    }

    /** Throws if a number of draws is odd or out of range. */
    static void requireEven(String option, int draws, int fewest) {
        if (draws < fewest || draws > MOST_DRAWS || draws % 2 != 0) {
            throw new IllegalArgumentException(option + " " + draws + " is out of range: give an even number from "
                    + fewest + " to " + MOST_DRAWS + ", because halves of the draws are compared and all are made at"
                    + " once");
        }
    }

    int count() {
        return or(count, USUAL, QUICK);
    }

    /** Returns a given number, or the default of this run's size. */
    int or(@Nullable Integer given, int usual, int small) {
        return given != null ? given : quick ? small : usual;
    }

    List<Double> times() {
        return times;
    }

    long seed() {
        return seed;
    }

    Device device() {
        return device.get();
    }

    Path out() {
        return out;
    }

    /** Loads the map, owned by the caller. */
    MetaFlowMap load() throws IOException {
        return checkpoint.loadAny(device);
    }

    /** Loads a reward that observes no image, owned by the caller. */
    LoadedReward reward(RewardSpec spec, RewardInputOption inputs, MetaFlowMap map) throws IOException {
        return LoadedReward.of(spec, inputs, checkpoint, map, new long[0], seed, device());
    }

    /** Returns this many items of the map's data from an index on, in the innermost open scope. */
    EvaluationItems items(MetaFlowMap map, int more) throws IOException {
        return EvaluationItems.of(map, checkpoint, config.get().orElse(null), count() + more, device());
    }

    /** Returns the first items, with labels and guidance if the map has them. */
    NoisedItems noised(MetaFlowMap map, EvaluationItems items) {
        Tensor labels = unlabelled
                ? Torch.full(map.classes(), DType.INT64, device(), count())
                : items.labels().narrow(0, 0, count());
        Condition condition = GuidanceOption.of(guidance.scale(map), map, map.classes() == 0 ? null : labels);
        return new NoisedItems(items.clean().narrow(0, 0, count()), condition, seed);
    }

    /** Returns the items for captions: their number, noise and labels. */
    String described(EvaluationItems items) {
        return String.format(
                Locale.ROOT,
                "n = %d noised items of %s, %s, seed %d",
                count(),
                items.source(),
                unlabelled ? "without labels" : "labels kept",
                seed);
    }

    /** Opens the file of finished cells. */
    CellFile cells(String name, MetaFlowMap map, EvaluationItems items, ObjectNode settings) throws IOException {
        Double scale = guidance.scale(map);
        settings.put("weights_crc32c", checksum(map))
                .put("items", count() + " of " + items.source())
                .put("unlabelled", unlabelled)
                .put("guidance", scale == null ? 1.0 : scale)
                .put("seed", seed);
        return CellFile.open(out.resolve(name), settings);
    }

    private static String checksum(MetaFlowMap map) {
        CRC32C sum = new CRC32C();
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor values = map.parameters().values();
            for (long from = 0; from < values.numel(); from += CHUNK) {
                try (TensorScope part = TensorScope.open()) {
                    float[] numbers = values.narrow(0, from, Math.min(CHUNK, values.numel() - from))
                            .to(DType.FLOAT32)
                            .to(Device.CPU)
                            .toFloatArray();
                    ByteBuffer bytes = ByteBuffer.allocate(numbers.length * Float.BYTES);
                    bytes.asFloatBuffer().put(numbers);
                    sum.update(bytes);
                }
            }
        }
        return Long.toHexString(sum.getValue());
    }
}
