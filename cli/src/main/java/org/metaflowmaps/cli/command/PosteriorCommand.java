package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.DataOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.GraphsOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.PrecisionOption;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.cli.report.Png;
import org.metaflowmaps.cli.report.PosteriorStudy;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.CapturedSampler;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.models.sampler.SamplingMemory;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code mfm posterior}. */
@Command(
        name = "posterior",
        mixinStandardHelpOptions = true,
        description = "Noise some images and draw from their posteriors with a trained map.")
public final class PosteriorCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final CheckpointOption checkpoint = new CheckpointOption();

    @Option(
            names = "--image",
            paramLabel = "N",
            split = ",",
            description =
                    "Indices of items, from 0: of the set, of the data's held-out items, or of the training stream."
                            + " Default: the last four, or the stream's first.")
    private List<Integer> chosen = new ArrayList<>();

    @Option(
            names = "--time",
            paramLabel = "T",
            split = ",",
            description = "Context times in (0, 1). Default: 0.1, 0.3, 0.5, 0.8.")
    private List<Double> times = new ArrayList<>();

    @Option(names = "--draws", paramLabel = "N", description = "Draws per image and time. Default: ${DEFAULT-VALUE}.")
    private int draws = 6;

    @Option(names = "--steps", paramLabel = "N", description = "Flow-map steps per draw. Default: ${DEFAULT-VALUE}.")
    private int steps = 1;

    @Mixin
    private final GuidanceOption guidance = new GuidanceOption();

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Mixin
    private final DataOption data = new DataOption();

    @Option(
            names = "--out",
            paramLabel = "FILE",
            description = "A .png for a picture (of latents: three channels as colours, a third of their values), a"
                    + " .safetensors for the numbers: clean, noisy, draws, times, one row for each item and time."
                    + " Default: ${DEFAULT-VALUE}.")
    private Path out = Path.of("posterior.png");

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Mixin
    private final PrecisionOption precision = new PrecisionOption();

    @Mixin
    private final GraphsOption graphs = new GraphsOption();

    @Override
    public Integer call() throws IOException {
        boolean numbers = out.toString().endsWith(".safetensors");
        if (!numbers) {
            Png.checkName(out);
        }
        double[] at = times.isEmpty()
                ? PosteriorStudy.times()
                : times.stream().mapToDouble(Double::doubleValue).toArray();
        for (double time : at) {
            if (!(time > 0 && time < 1)) {
                throw new IllegalArgumentException(
                        "--time " + time + " is out of range: give times above 0 and below 1");
            }
        }
        if (draws < 1) {
            throw new IllegalArgumentException("--draws: " + draws + " draws, expected at least 1");
        }
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        try (MetaFlowMap map = checkpoint.loadAny(device);
                TensorScope scope = TensorScope.open();
                Autocast mode = precision.on(device.get(), map);
                RandomSource random = RandomSource.seeded(seed, device.get())) {
            PosteriorSampler plain = new PosteriorSampler(map, steps);
            if (!numbers && map.itemShape().dim() != 3) {
                throw new IOException("the checkpoint holds a map of vectors, not images: give --out FILE.safetensors");
            }
            Double scale = guidance.scale(map);
            CleanItems clean = CleanItems.of(
                    map,
                    checkpoint.classNames(map),
                    data.config(checkpoint),
                    data.folder(),
                    chosen,
                    scale,
                    seed,
                    device.get());
            long rows = clean.items().size(0) * at.length;
            double size = 4.0 * map.itemShape().numel();
            FreeMemory.require(
                    "--draws " + draws + " of " + rows + " posteriors",
                    (long) (size * (draws + 2.0) * rows),
                    "lower --draws");
            try (CapturedSampler<Context> captured = graphs.ofPosteriors(plain, map)) {
                Posteriors posteriors = new Posteriors(map, captured == null ? plain : captured);
                if (numbers) {
                    write(posteriors, clean, scale, at, random);
                } else {
                    ImageGrid.requireRoom(rows, draws + 2L, map.itemShape(), 2);
                    Png.write(picture(posteriors, clean, scale, at, random).draw(2), out);
                }
            }
            terminal.println(out + (clean.source().startsWith("Fashion") ? "" : ", of " + clean.source()));
        }
        terminal.flush();
        return 0;
    }

    /** A map and the sampler of its posteriors. */
    private record Posteriors(MetaFlowMap map, Sampler<Context> sampler) {
        /** Returns draws from the posterior of one item: (draws, item shape), in the innermost open scope. */
        Tensor draw(RandomSource random, Context context, int draws) {
            return sampler.sample(Noise.of(random, map, draws), context.repeatInterleave(draws))
                    .samples();
        }
    }

    /** Returns one item with its noisy state and draws: (2 + draws, item shape), the clean item first. */
    private Tensor row(
            Posteriors posteriors,
            CleanItems clean,
            @Nullable Double scale,
            long item,
            double time,
            RandomSource random) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor one = clean.items().narrow(0, item, 1);
            Tensor label = clean.labels() == null ? null : clean.labels().narrow(0, item, 1);
            Tensor times1 = Torch.full(time, one.dtype(), one.device(), 1);
            Context context = new Context(
                    times1,
                    LinearInterpolant.state(random.normal(one.shape()), one, times1),
                    GuidanceOption.of(scale, posteriors.map(), label));
            int most = SamplingMemory.itemsAtOnce(posteriors.map());
            List<Tensor> parts = new ArrayList<>(List.of(one, context.state()));
            for (int left = draws; left > 0; left -= Math.min(left, most)) {
                try (TensorScope part = TensorScope.open()) {
                    parts.add(part.keep(posteriors.draw(random, context, Math.min(left, most))));
                }
            }
            return scope.keep(Torch.cat(0, parts.toArray(new Tensor[0])));
        }
    }

    private ImageGrid picture(
            Posteriors posteriors, CleanItems clean, @Nullable Double scale, double[] at, RandomSource random) {
        Shape item = posteriors.map().itemShape();
        List<String> columns = new ArrayList<>(List.of("clean", "x_t"));
        for (int i = 1; i <= draws; i++) {
            columns.add("draw " + i);
        }
        ImageGrid grid = new ImageGrid(ImageGrid.shownChannels(item), (int) item.size(1), (int) item.size(2), columns);
        for (int i = 0; i < clean.items().size(0); i++) {
            for (double time : at) {
                try (TensorScope scope = TensorScope.open()) {
                    Tensor row = row(posteriors, clean, scale, i, time, random);
                    String name = clean.names().get(i);
                    grid.row(
                            String.format(Locale.ROOT, "%st = %s", name.isEmpty() ? "" : name + ", ", time),
                            ImageGrid.visible(row).toFloatArray());
                }
            }
        }
        return grid;
    }

    private void write(
            Posteriors posteriors, CleanItems clean, @Nullable Double scale, double[] at, RandomSource random)
            throws IOException {
        List<Tensor> rows = new ArrayList<>();
        for (int i = 0; i < clean.items().size(0); i++) {
            for (double time : at) {
                rows.add(row(posteriors, clean, scale, i, time, random));
            }
        }
        Tensor all = Torch.stack(0, rows.toArray(new Tensor[0]));
        Tensor contexts = Torch.of(clean.names().stream()
                .flatMapToDouble(name -> Arrays.stream(at))
                .toArray());
        Safetensors.write(
                out,
                Map.of("seed", Long.toString(seed)),
                Map.of(
                        "clean",
                        all.narrow(1, 0, 1).contiguous(),
                        "noisy",
                        all.narrow(1, 1, 1).contiguous(),
                        "draws",
                        all.narrow(1, 2, draws).contiguous(),
                        "times",
                        contexts));
    }
}
