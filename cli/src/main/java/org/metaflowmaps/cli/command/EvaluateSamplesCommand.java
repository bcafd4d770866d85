package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.ClassOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.NetworkOption;
import org.metaflowmaps.cli.report.SampleTable;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.steering.evaluation.SampleStatistics;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.training.data.FashionMnist;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm evaluate samples}. */
@Command(
        name = "samples",
        mixinStandardHelpOptions = true,
        description = "Compare samples of a map, or of a .npz file, with real images: Fréchet distance, a histogram of"
                + " classes by a judge that no reward uses, and the diversity within each class, with standard errors."
                + " Fréchet distances are larger for fewer samples: compare equal numbers.")
final class EvaluateSamplesCommand implements Callable<Integer> {
    private static final String INCLUDED = "pretrained";

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(
            arity = "0..1",
            paramLabel = "CHECKPOINT",
            description = "A map's file, unless --pretrained is given; or samples: a .npz file with arr_0, uint8 of"
                    + " (N, H, W, C), and optionally arr_1, their labels.")
    private @Nullable Path file;

    @Option(names = "--pretrained", description = "Use the Fashion-MNIST map included in mfm instead of a checkpoint.")
    private boolean pretrained;

    @Mixin
    private final NetworkOption network = new NetworkOption();

    @Option(
            names = "--base",
            paramLabel = "CHECKPOINT",
            description = "Also draw from this map, with the same noise; '" + INCLUDED + "' is the included map.")
    private @Nullable Path base;

    @Mixin
    private final ClassOption classes = new ClassOption();

    @Option(names = "--count", paramLabel = "N", description = "Samples in all. Default: ${DEFAULT-VALUE}.")
    private int count = 1000;

    @Option(names = "--steps", paramLabel = "N", description = "Steps per sample. Default: ${DEFAULT-VALUE}.")
    private int steps = 25;

    @Option(
            names = "--sampler",
            paramLabel = "KIND",
            description = "${COMPLETION-CANDIDATES}, as for mfm sample. Default: ${DEFAULT-VALUE}, Euler steps along"
                    + " the drift.")
    private SampleCommand.Kind kind = SampleCommand.Kind.ode;

    @Mixin
    private final GuidanceOption guidance = new GuidanceOption();

    @Option(
            names = "--features",
            paramLabel = "FILE",
            description = "A TorchScript network from images in [0, 1] to features; it runs the program in FILE."
                    + " Default: mfm's classifier, for Fashion-MNIST.")
    private @Nullable Path features;

    @Option(
            names = "--statistics",
            paramLabel = "FILE",
            description = "Statistics of real images, a .npz file with mu and sigma of the same features. Default:"
                    + " Fashion-MNIST's test images.")
    private @Nullable Path statistics;

    @Option(
            names = "--images",
            paramLabel = "N",
            description = "The first test images to compare with; fewer are faster. Default: ${DEFAULT-VALUE}.")
    private int images = 10_000;

    @Option(
            names = "--weights",
            paramLabel = "W",
            split = ",",
            description = "Weights of the classes; the distance of the judged shares to them is shown.")
    private List<Double> weights = List.of();

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Option(names = "--out", paramLabel = "FILE", description = "A .json file for the results.")
    private @Nullable Path out;

    @Option(
            names = "--save",
            paramLabel = "FILE",
            description = "A .npz file for the samples: arr_0, uint8 of (N, H, W, C), and arr_1, their labels.")
    private @Nullable Path save;

    @Option(
            names = "--save-statistics",
            paramLabel = "FILE",
            description = "A .npz file for mu and sigma of the samples' features.")
    private @Nullable Path saveStatistics;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        check();
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        Map<String, Object> settings = new LinkedHashMap<>();
        try (SampleReference reference = new SampleReference(features, statistics, images, device.get())) {
            SampleStatistics samples = isArchive(file)
                    ? fromArchive(reference, Objects.requireNonNull(file), settings)
                    : fromMap(reference, file, settings);
            SampleTable table = new SampleTable(
                    reference.gaussian(),
                    reference.classNames(),
                    weights.stream().mapToDouble(Double::doubleValue).toArray());
            table.add("samples", samples);
            if (base != null) {
                boolean included = base.toString().equals(INCLUDED);
                table.add("base", fromMap(reference, included ? null : base, new LinkedHashMap<>()));
            }
            reference.real().ifPresent(real -> table.addReference("real", real));
            settings.put("features", features == null ? "the classifier included in mfm" : features.toString());
            settings.put("reference", reference.name());
            settings.forEach((name, value) -> terminal.println(name + ": " + value));
            terminal.println();
            table.print(terminal);
            if (saveStatistics != null) {
                SampleArchive.writeStatistics(saveStatistics, samples.gaussian());
            }
            if (out != null) {
                table.write(out, settings);
                terminal.println(out);
                terminal.flush();
            }
        }
        return 0;
    }

    private static boolean isArchive(@Nullable Path path) {
        return path != null && path.toString().endsWith(".npz");
    }

    private static void requireArchive(String option, @Nullable Path path) {
        if (path != null && !isArchive(path)) {
            throw new IllegalArgumentException(option + " " + path + ": give a name that ends in .npz");
        }
    }

    private void check() {
        if ((file == null) != pretrained) {
            throw new IllegalArgumentException(
                    file == null
                            ? "no samples were given: begin with a checkpoint or a .npz file, or give --pretrained"
                            : "a file, " + file + ", and --pretrained were given: give one of them");
        }
        if (count < 2 || steps < 1) {
            throw new IllegalArgumentException(
                    "--count " + count + " --steps " + steps + ": give at least 2 samples and 1 step");
        }
        if (images < 2 || images > 10_000) {
            throw new IllegalArgumentException("--images " + images + " is out of range: give 2 to 10000");
        }
        if (out != null && !out.toString().endsWith(".json")) {
            throw new IllegalArgumentException("--out " + out + ": give a name that ends in .json");
        }
        requireArchive("--save", save);
        requireArchive("--save-statistics", saveStatistics);
        if (isArchive(file) && save != null) {
            throw new IllegalArgumentException("--save " + save + " is for samples of a map, not for those of " + file);
        }
        if (statistics != null && features == null) {
            throw new IllegalArgumentException(
                    "--statistics " + statistics + " needs the network of its features: give it as --features FILE");
        }
        if (!weights.isEmpty() && weights.size() != FashionMnist.CLASSES.size()) {
            throw new IllegalArgumentException(
                    "--weights " + weights + ": give one for each of the " + FashionMnist.CLASSES.size() + " classes");
        }
    }

    private SampleStatistics fromArchive(SampleReference reference, Path archive, Map<String, Object> settings)
            throws IOException {
        SampleStatistics set = reference.empty();
        SampleArchive.read(archive, device.get(), (images, labels) -> {
            reference.requireFit(Shape.of(images.size(1), images.size(2), images.size(3)), archive.toString());
            set.add(images, reference.usable(labels));
        });
        settings.put("samples", archive.toString());
        return set;
    }

    private SampleStatistics fromMap(SampleReference reference, @Nullable Path of, Map<String, Object> settings)
            throws IOException {
        CheckpointOption checkpoint = CheckpointOption.of(of, network, Objects.requireNonNull(spec));
        try (MetaFlowMap map = checkpoint.load(device)) {
            String name = of == null ? "the map included in mfm" : of.toString();
            reference.requireFit(map.itemShape(), name);
            MapSamples samples = new MapSamples(
                    count, classes.labels(map, checkpoint.classNames(map)), guidance.scale(map), seed, device.get());
            SampleStatistics set = reference.empty();
            long[] evaluations = {0};
            if (save != null && Objects.equals(of, file)) {
                SampleArchive.write(
                        save,
                        map.itemShape(),
                        count,
                        new PixelDecoder(),
                        Quantisation.round,
                        archive -> evaluations[0] = draw(samples, map, reference, set, archive));
            } else {
                evaluations[0] = draw(samples, map, reference, set, null);
            }
            settings.put("samples", name);
            settings.put("sampler", kind + ", " + steps + " steps");
            settings.put("evaluations", evaluations[0]);
            settings.put("count", count);
            settings.put("labels", labels(samples, map));
            settings.put("seed", seed);
            return set;
        }
    }

    /** Draws into statistics, and into an archive unless that is null; returns the evaluations per sample. */
    private long draw(
            MapSamples samples,
            MetaFlowMap map,
            SampleReference reference,
            SampleStatistics set,
            @Nullable SampleArchive archive) {
        boolean labelled = samples.areLabelled(map);
        return samples.draw(map, MapSamples.by(kind, map, steps), (drawn, condition, labels) -> {
            FashionReference.add(
                    set,
                    drawn,
                    labelled && labels != null
                            ? reference.usable(Optional.of(labels)).orElse(null)
                            : null);
            if (archive != null) {
                archive.add(drawn, labels);
            }
        });
    }

    private static String labels(MapSamples samples, MetaFlowMap map) {
        List<String> labels = new ArrayList<>();
        for (long label : samples.labels()) {
            labels.add(label < map.classes() ? Long.toString(label) : "none");
        }
        return map.classes() == 0 ? "none" : String.join(", ", labels) + " in turn";
    }
}
