package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.ClassNames;
import org.metaflowmaps.cli.option.ClassOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.GraphsOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.PrecisionOption;
import org.metaflowmaps.cli.option.ProfileOption;
import org.metaflowmaps.cli.option.ProfiledSampling;
import org.metaflowmaps.cli.option.VaeOption;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.cli.report.Png;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.CapturedSampler;
import org.metaflowmaps.models.sampler.FlowMapSampler;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.OdeSampler;
import org.metaflowmaps.models.sampler.RefinementSampler;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.SamplingMemory;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.steering.reward.LatentDecoder;
import org.metaflowmaps.steering.reward.PixelDecoder;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code mfm sample}. */
@Command(
        name = "sample",
        mixinStandardHelpOptions = true,
        description = "Draw images of some classes from a trained map.")
public final class SampleCommand implements Callable<Integer> {
    /** The sampler. */
    enum Kind {
        refinement,
        flow_map,
        ode
    }

    /** The solver of a step along the drift. */
    enum Step {
        euler(Solver.EULER),
        heun(Solver.HEUN);

        private final Solver solver;

        Step(Solver solver) {
            this.solver = solver;
        }

        Solver solver() {
            return solver;
        }
    }

    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final CheckpointOption checkpoint = new CheckpointOption();

    @Mixin
    private final ClassOption classes = new ClassOption();

    @Option(names = "--count", paramLabel = "N", description = "Images of each class. Default: ${DEFAULT-VALUE}.")
    private int count = 4;

    @Option(
            names = "--steps",
            paramLabel = "N",
            description = "Steps per image, of one network evaluation each. Default: ${DEFAULT-VALUE}.")
    private int steps = 4;

    @Option(
            names = "--quantise",
            paramLabel = "KIND",
            description = "For a .npz: ${COMPLETION-CANDIDATES}, to the nearest level as SiT and DiT do, or down as the"
                    + " public MFM code does. Default: ${DEFAULT-VALUE}.")
    private Quantisation quantisation = Quantisation.round;

    @Option(
            names = "--sampler",
            description =
                    "${COMPLETION-CANDIDATES}: posterior draws and fresh noise in turn, jumps (of a flow map or a meta"
                            + " flow map), or steps along the drift. Default: refinement, and ode for a map without"
                            + " contexts, which may be a plain flow.")
    private @Nullable Kind kind;

    @Option(
            names = "--solver",
            description = "For --sampler ode: ${COMPLETION-CANDIDATES}. Heun's steps evaluate the network twice each. "
                    + "Default: euler.")
    private @Nullable Step solver;

    @Mixin
    private final GuidanceOption guidance = new GuidanceOption();

    @Mixin
    private final VaeOption vae = new VaeOption();

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Option(
            names = "--out",
            paramLabel = "FILE",
            description = "A .png for a picture (of latents without --vae: three channels as colours, a third of their"
                    + " values), a .safetensors for the numbers, or a .npz for public evaluators: arr_0, uint8 of"
                    + " (N, H, W, C), the classes in turn, and arr_1, their labels. Default: ${DEFAULT-VALUE}.")
    private Path out = Path.of("samples.png");

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Mixin
    private final PrecisionOption precision = new PrecisionOption();

    @Mixin
    private final GraphsOption graphs = new GraphsOption();

    @Mixin
    private final ProfileOption profile = new ProfileOption();

    @Override
    public Integer call() throws IOException {
        if (count < 1 || steps < 1) {
            throw new IllegalArgumentException("--count and --steps must be at least 1");
        }
        boolean numbers = out.toString().endsWith(".safetensors");
        boolean archive = out.toString().endsWith(".npz");
        if (!numbers && !archive) {
            Png.checkName(out);
        }
        try (MetaFlowMap map = checkpoint.load(device);
                LatentDecoder latents = vae.open(checkpoint, map, LatentDecoder.Clamp.STRAIGHT_THROUGH, device.get());
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(seed, device.get());
                Autocast mode = precision.on(device.get(), map);
                Autograd.Mode off = Autograd.inference();
                ProfiledSampling profiled = profile.sampling()) {
            ClassNames names = checkpoint.classNames(map);
            SamplingListener listener = profiled.with(SamplingListener.NONE);
            if (archive) {
                archive(map, classes.labels(map, names), latents, listener);
                done();
                return 0;
            }
            Tensor labels = Torch.of(classes.labels(map, names)).to(device.get());
            long total = count * labels.size(0);
            VisibleItems visible = new VisibleItems(map.itemShape(), latents);
            if (!numbers) {
                visible.requireRoom(labels.size(0), count);
            }
            FreeMemory.require(
                    "--count " + count + ": " + total + " results",
                    bytes(map, visible, total),
                    "lower --count, and draw in several runs");
            Tensor samples;
            Sampler<Condition> plain = by(map);
            try (CapturedSampler<Condition> captured = graphs.of(plain, map)) {
                samples = inParts(map, captured == null ? plain : captured, random, labels, total, listener);
            }
            if (numbers) {
                Map<String, Tensor> tensors = new LinkedHashMap<>();
                tensors.put("images", visible.images(samples));
                tensors.put("labels", labels.repeatInterleave(count, 0));
                if (latents != null) {
                    tensors.put("latents", samples);
                }
                Safetensors.write(out, Map.of("seed", Long.toString(seed)), tensors);
            } else {
                picture(visible, names, labels.toLongArray(), samples);
            }
        }
        done();
        return 0;
    }

    private void done() {
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        terminal.println(out);
        terminal.flush();
    }

    /** Draws and writes batch by batch; the classes are in turn, so that every part of the file has all of them. */
    private void archive(MetaFlowMap map, long[] labels, @Nullable LatentDecoder latents, SamplingListener listener)
            throws IOException {
        if (latents == null) {
            SampleArchive.requireImages(map, "this map");
        }
        MapSamples samples = new MapSamples(
                Math.multiplyExact(count, labels.length), labels, guidance.scale(map), seed, device.get());
        Sampler<Condition> plain = by(map);
        try (CapturedSampler<Condition> captured = graphs.of(plain, map)) {
            Sampler<Condition> sampler = captured == null ? plain : captured;
            SampleArchive.write(
                    out,
                    new VisibleItems(map.itemShape(), latents).shape(),
                    samples.count(),
                    latents == null ? new PixelDecoder() : latents,
                    quantisation,
                    file -> samples.draw(map, sampler, listener, (drawn, condition, given) -> file.add(drawn, given)));
        }
    }

    private static long bytes(MetaFlowMap map, VisibleItems visible, long total) {
        long decoded = visible.latents() == null ? 0 : visible.shape().numel();
        double bytes = 4.0 * total * (map.itemShape().numel() + decoded);
        return bytes < Long.MAX_VALUE ? (long) bytes : -1;
    }

    /** Draws in parts that fit in memory, and joins the results. */
    private Tensor inParts(
            MetaFlowMap map,
            Sampler<Condition> sampler,
            RandomSource random,
            Tensor classes,
            long total,
            SamplingListener listener) {
        long most = SamplingMemory.itemsAtOnce(map);
        if (total <= most) {
            return draw(map, sampler, random, classes.repeatInterleave(count, 0), listener);
        }
        Shape item = map.itemShape();
        Tensor all = Torch.empty(DType.FLOAT32, Device.CPU, total, item.size(0), item.size(1), item.size(2));
        for (long from = 0; from < total; from += most) {
            try (TensorScope scope = TensorScope.open()) {
                long size = Math.min(most, total - from);
                long first = from / count;
                long last = (from + size - 1) / count;
                Tensor labels = classes.narrow(0, first, last - first + 1)
                        .repeatInterleave(count, 0)
                        .narrow(0, from - first * count, size);
                all.narrow(0, from, size).copy_(draw(map, sampler, random, labels.contiguous(), listener));
            }
        }
        return all;
    }

    private Tensor draw(
            MetaFlowMap map,
            Sampler<Condition> sampler,
            RandomSource random,
            Tensor classes,
            SamplingListener listener) {
        Tensor given = map.classes() == 0 ? null : classes;
        Condition condition = GuidanceOption.of(guidance.scale(map), map, given);
        return sampler.sample(Noise.of(random, map, classes.size(0)), condition, listener)
                .samples();
    }

    private Sampler<Condition> by(MetaFlowMap map) {
        Kind chosenKind = kind != null ? kind : map.isContextual() ? Kind.refinement : Kind.ode;
        if (solver != null && chosenKind != Kind.ode) {
            throw new IllegalArgumentException(
                    "--solver " + solver + " is for --sampler ode, but the sampler is " + chosenKind);
        }
        return switch (chosenKind) {
            case refinement -> new RefinementSampler(map, steps);
            case flow_map -> new FlowMapSampler(map, steps);
            case ode ->
                new OdeSampler(
                        // A captured run cannot read labels to check them; CapturedSampler does it before.
                        new NetworkDrift(map, !graphs.isOn()),
                        TimeGrid.uniform(steps),
                        solver == null ? Solver.EULER : solver.solver);
        };
    }

    private void picture(VisibleItems visible, ClassNames names, long[] classes, Tensor samples) throws IOException {
        List<String> columns = new ArrayList<>();
        for (int i = 1; i <= count; i++) {
            columns.add(Integer.toString(i));
        }
        ImageGrid grid = visible.grid(columns);
        for (int row = 0; row < classes.length; row++) {
            grid.row(names.of(classes[row]), visible.pixels(samples.narrow(0, (long) row * count, count)));
        }
        Png.write(grid.draw(visible.enlargement()), out);
    }
}
