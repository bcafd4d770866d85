package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.NetworkOption;
import org.metaflowmaps.cli.report.FrechetReport;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.GuidedDrift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.GlassSampler;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.steering.evaluation.FashionClassifier;
import org.metaflowmaps.steering.evaluation.PosteriorFrechet;
import org.metaflowmaps.training.data.FashionMnist;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code mfm evaluate fashion-mnist}. */
@Command(
        name = "fashion-mnist",
        mixinStandardHelpOptions = true,
        description = "Fréchet distance of posterior draws to real images of Fashion-MNIST, by the number of network"
                + " evaluations: for a map's few steps, and for GLASS, which integrates the drift of the same"
                + " map or of a teacher. Real images are the test images, which maps trained on the 60,000 have not"
                + " seen.")
final class EvaluateFashionMnistCommand implements Callable<Integer> {
    /** Fashion-MNIST's images. */
    static final Shape ITEM = Shape.of(1, FashionMnist.SIZE, FashionMnist.SIZE);

    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final CheckpointOption checkpoint = new CheckpointOption();

    @Option(
            names = "--teacher",
            paramLabel = "CHECKPOINT",
            description =
                    "Integrate the drift of this map instead of the evaluated map's own; with a guidance scale other"
                            + " than 1 it is guided, by two evaluations per step.")
    private @Nullable Path teacher;

    @Option(
            names = "--teacher-model",
            paramLabel = "FILE",
            description = "Like --model, for a teacher from a public file.")
    private @Nullable Path teacherModel;

    @Option(
            names = "--images",
            paramLabel = "N",
            description = "Images to noise and draw again, up to 5000; as many others are compared "
                    + "with. Default: ${DEFAULT-VALUE}.")
    private int images = 5000;

    @Option(
            names = "--steps",
            paramLabel = "N",
            split = ",",
            description = "Flow-map steps of the map. Default: ${DEFAULT-VALUE}.",
            defaultValue = "1,2,4,8")
    private List<Integer> steps = List.of();

    @Option(
            names = "--glass",
            paramLabel = "N",
            split = ",",
            description = "Euler steps of GLASS; 0 for none. Default: ${DEFAULT-VALUE}.",
            defaultValue = "2,4,8,16,32,64")
    private List<Integer> glass = List.of();

    @Option(
            names = "--times",
            paramLabel = "T",
            split = ",",
            description = "Times that images are noised to. Default: ${DEFAULT-VALUE}.",
            defaultValue = "0,0.2,0.5")
    private List<Double> times = List.of();

    @Mixin
    private final GuidanceOption guidance = new GuidanceOption();

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description = "Folder for frechet.csv, frechet.md and frechet.png. Default: ${DEFAULT-VALUE}.")
    private Path out = Path.of("runs", "evaluation");

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        check();
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        try (MetaFlowMap map = fitting(checkpoint.load(device), "the checkpoint");
                Teacher own = teacher(map);
                FashionClassifier classifier = FashionClassifier.shipped(device.get())) {
            Double scale = guidance.scale(map);
            PosteriorFrechet frechet = new PosteriorFrechet(
                    classifier,
                    FashionMnist.test(),
                    images,
                    labelled -> map.classes() == 0
                            ? Condition.none()
                            : scale == null ? labelled : labelled.guided(scale, map.classes()),
                    device.get(),
                    seed);
            FrechetReport report = new FrechetReport(images, frechet.floor(), terminal);
            for (double time : times) {
                for (int count : steps) {
                    report.measure(
                            FrechetReport.MAP, time, count, () -> frechet.of(new PosteriorSampler(map, count), time));
                }
                for (int count : glass) {
                    if (count > 0) {
                        GlassSampler sampler = new GlassSampler(new Glass(own.drift()), count);
                        report.measure(FrechetReport.GLASS, time, count, () -> frechet.of(sampler, time));
                    }
                }
            }
            report.write(out);
        }
        return 0;
    }

    private void check() {
        if (images < 2 || images > 5000) {
            throw new IllegalArgumentException(
                    "--images " + images + " is out of range: give 2 to 5000, half of the test images");
        }
        for (double time : times) {
            if (!(time >= 0 && time <= 1)) {
                throw new IllegalArgumentException("--times " + time + " is out of range: give times from 0 to 1");
            }
        }
        if (glass.stream().anyMatch(count -> count < 0)) {
            throw new IllegalArgumentException("--glass " + glass + ": give numbers of steps, or 0 for none");
        }
        if (steps.stream().anyMatch(count -> count < 1)) {
            throw new IllegalArgumentException("--steps " + steps + ": give numbers of steps from 1 on");
        }
    }

    /**
     * The drift that GLASS integrates.
     *
     * @param owned a network to close, or null
     */
    private record Teacher(Drift drift, @Nullable MetaFlowMap owned) implements AutoCloseable {
        @Override
        public void close() {
            if (owned != null) {
                owned.close();
            }
        }
    }

    private Teacher teacher(MetaFlowMap map) throws IOException {
        if (teacher == null) {
            if (teacherModel != null) {
                throw new IllegalArgumentException("--teacher-model " + teacherModel + " was given without --teacher");
            }
            return new Teacher(new NetworkDrift(map), null);
        }
        MetaFlowMap other = fitting(
                NetworkOption.open(teacher, teacherModel, "--teacher-model", device.get())
                        .map(),
                teacher.toString());
        if (other.classes() != map.classes()) {
            other.close();
            throw new IOException(
                    teacher + " has " + other.classes() + " classes, the evaluated map has " + map.classes());
        }
        Drift drift = new NetworkDrift(other);
        Double scale = guidance.scale(map);
        return scale == null || scale == 1 || other.classes() == 0
                ? new Teacher(drift, other)
                : new Teacher(new GuidedDrift(drift, other.classes(), 0), other);
    }

    static boolean fits(MetaFlowMap map) {
        boolean classes = map.classes() == 0 || map.classes() == FashionMnist.CLASSES.size();
        return map.itemShape().equals(ITEM) && classes;
    }

    /** Returns the map if it fits Fashion-MNIST's images; else closes it and throws. */
    static MetaFlowMap fitting(MetaFlowMap map, String name) throws IOException {
        if (!fits(map)) {
            String found = map.itemShape() + " with " + map.classes() + " classes";
            map.close();
            throw new IOException(name + " holds a map of items of shape " + found
                    + ", expected Fashion-MNIST's [1, 28, 28] with 10 or none");
        }
        return map;
    }
}
