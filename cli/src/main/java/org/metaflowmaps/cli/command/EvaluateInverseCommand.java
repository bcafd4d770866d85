package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.RewardOption;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.cli.report.InverseTable;
import org.metaflowmaps.cli.report.Png;
import org.metaflowmaps.cli.report.SteeringProgress;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.evaluation.InverseEvaluation;
import org.metaflowmaps.steering.reward.InverseProblem;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.RewardContext;
import org.metaflowmaps.steering.reward.RewardSpec;
import org.metaflowmaps.steering.sampler.Dynamics;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code mfm evaluate inverse}. */
@Command(
        name = "inverse",
        mixinStandardHelpOptions = true,
        description = "Observe images of the map's data, sample the posterior of each by steering with lambda 1,"
                + " and print chi^2/n, the squared error of the observed numbers over SIGMA^2 (1 for exact"
                + " posterior samples, on average), and the spread of an image's samples. For Fashion-MNIST the"
                + " images are test images.")
final class EvaluateInverseCommand implements Callable<Integer> {
    private static final int MOST = 1000;

    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final CheckpointOption checkpoint = new CheckpointOption();

    @Option(
            names = "--problem",
            paramLabel = "REWARD",
            converter = RewardOption.Converter.class,
            defaultValue = "inpaint:7,7,14,14,0.1",
            description = "The observation: inpaint:TOP,LEFT,HEIGHT,WIDTH,SIGMA, downsample:FACTOR,SIGMA or"
                    + " blur:DEVIATION,SIGMA. Default: ${DEFAULT-VALUE}.")
    private @Nullable RewardSpec problem;

    @Option(
            names = "--images",
            paramLabel = "N",
            description = "Observed images: the first of the data. Default: ${DEFAULT-VALUE}.")
    private int images = 8;

    @Option(
            names = "--count",
            paramLabel = "N",
            description = "Samples of each posterior, at least 2. Default: ${DEFAULT-VALUE}.")
    private int count = 4;

    @Option(
            names = "--draws",
            paramLabel = "N",
            description = "Posterior draws per state and step. Default: ${DEFAULT-VALUE}.")
    private int draws = 1;

    @Option(names = "--steps", paramLabel = "K", description = "Steps of a path. Default: ${DEFAULT-VALUE}.")
    private int steps = 250;

    @Option(
            names = "--dynamics",
            description = "${COMPLETION-CANDIDATES}; with few draws ode is too far from the observation. Default:"
                    + " ${DEFAULT-VALUE}.")
    private SteerCommand.Kind dynamics = SteerCommand.Kind.sde;

    @Mixin
    private final GuidanceOption guidance = new GuidanceOption();

    @Option(
            names = "--seed",
            paramLabel = "N",
            description = "Seed of observations and samples. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Option(
            names = "--out",
            paramLabel = "FILE",
            description = "A .png with truth, observation and samples of each image. Default: ${DEFAULT-VALUE}.")
    private Path out = Path.of("inverse.png");

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        Png.checkName(out);
        if (!Objects.requireNonNull(problem).needs(RewardSpec.Input.IMAGE)) {
            throw notObserving();
        }
        if (images < 1 || images > MOST || count > MOST) {
            throw new IllegalArgumentException(
                    "--images " + images + " --count " + count + " is out of range: give 1 to " + MOST);
        }
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        try (MetaFlowMap loaded = checkpoint.load(device);
                MetaFlowMap map = loaded.frozen();
                TensorScope scope = TensorScope.open()) {
            InverseEvaluation evaluation = new InverseEvaluation(
                    map,
                    count,
                    draws,
                    steps,
                    dynamics == SteerCommand.Kind.ode ? Dynamics.ODE : Dynamics.SDE,
                    seed,
                    device.get());
            Shape item = map.itemShape();
            Double scale = guidance.scale(map);
            CleanItems found = CleanItems.of(
                    map,
                    checkpoint.classNames(map),
                    checkpoint.config(),
                    null,
                    IntStream.range(0, images).boxed().toList(),
                    scale,
                    seed,
                    device.get());
            Tensor clean = new PixelDecoder().decode(found.items());
            ImageGrid.requireRoom(images, count + 2L, item, 2);
            ImageGrid grid =
                    new ImageGrid(ImageGrid.shownChannels(item), (int) item.size(1), (int) item.size(2), columns());
            terminal.println("observing " + images + " items of " + found.source() + " by " + problem + ", " + draws
                    + (draws == 1 ? " draw, " : " draws, ") + steps + " steps of the " + dynamics);
            InverseTable table = new InverseTable(terminal);
            try (SteeringProgress progress = new SteeringProgress("inverse", steps, images, () -> false)) {
                for (int i = 0; i < images; i++) {
                    try (TensorScope inner = TensorScope.open();
                            InverseProblem observed = observe(clean.select(0, i), i)) {
                        Tensor truth = clean.select(0, i);
                        InverseEvaluation.Result result =
                                evaluation.of(observed, truth, condition(found, map, scale, i), i, progress);
                        progress.batchDone();
                        table.row(i, found.names().get(i), result);
                        grid.row(found.names().get(i), pixels(truth, observed.observation(), result.images()));
                    }
                }
            }
            table.end();
            Png.write(grid.draw(2), out);
            terminal.println(out);
            terminal.flush();
        }
        return 0;
    }

    private List<String> columns() {
        List<String> columns = new ArrayList<>(List.of("truth", "observed"));
        for (int i = 1; i <= count; i++) {
            columns.add(Integer.toString(i));
        }
        return columns;
    }

    /** Observes an image, each with noise of its own. */
    private InverseProblem observe(Tensor image, int index) throws IOException {
        RewardSpec given = Objects.requireNonNull(problem);
        Reward opened = given.open(
                new RewardContext(device.get(), Optional.empty(), Optional.of(image), Math.addExact(seed, index)));
        if (opened instanceof InverseProblem inverse) {
            return inverse;
        }
        opened.close();
        throw notObserving();
    }

    private IllegalArgumentException notObserving() {
        return new IllegalArgumentException(
                "--problem " + problem + " is not one observation of an image: give inpaint, downsample or blur");
    }

    private Condition condition(CleanItems found, MetaFlowMap map, @Nullable Double scale, int index) {
        Tensor labels = found.labels();
        return GuidanceOption.of(
                scale, map, labels == null ? null : labels.narrow(0, index, 1).repeatInterleave(count, 0));
    }

    /** Returns values of [-1, 1] for the picture; a smaller observation is enlarged to the images' size. */
    private static float[] pixels(Tensor truth, Tensor observation, Tensor samples) {
        Tensor seen = observation.to(samples.dtype()).unsqueeze(0);
        Tensor whole = seen.shape().from(1).equals(truth.shape())
                ? seen
                : Torch.upsampleNearest2d(seen, truth.size(1), truth.size(2));
        return Torch.cat(0, truth.unsqueeze(0), whole, samples).mul(2).sub(1).toFloatArray();
    }
}
