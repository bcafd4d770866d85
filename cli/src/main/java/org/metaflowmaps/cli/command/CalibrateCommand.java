package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.function.DoubleSupplier;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.ClassOption;
import org.metaflowmaps.cli.option.ConfigOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.RewardOption;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.OdeSampler;
import org.metaflowmaps.models.sampler.SamplingMemory;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Calibration;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code mfm reward calibrate}. */
@Command(
        name = "calibrate",
        mixinStandardHelpOptions = true,
        description =
                "Score samples of the map, and suggest strengths (--lambda). KL is the divergence of the tilted law"
                        + " from the map's, in nats; ESS is the share of the samples that remain effective.")
final class CalibrateCommand implements Callable<Integer> {
    /** Divergences of the table, from hardly tilted to strongly. */
    private static final double[] DIVERGENCES = {0.5, 1, 2, 5};

    private static final double[] QUANTILES = {0, 0.05, 0.25, 0.5, 0.75, 0.95, 1};
    private static final int MOST_AT_ONCE = 256;

    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final CheckpointOption checkpoint = new CheckpointOption();

    @Mixin
    private final RewardOption reward = new RewardOption();

    @Mixin
    private final ClassOption classes = new ClassOption();

    @Option(
            names = "--samples",
            paramLabel = "N",
            description = "Samples to score, of the classes in turn. Default: ${DEFAULT-VALUE}.")
    private int samples = 256;

    @Option(
            names = "--steps",
            paramLabel = "K",
            description = "Euler steps of each sample along the drift. Default: ${DEFAULT-VALUE}.")
    private int steps = 50;

    @Option(names = "--kl", paramLabel = "NATS", description = "Print the strength for this divergence only.")
    private @Nullable Double divergence;

    @Option(
            names = "--ess",
            paramLabel = "SHARE",
            description = "Print the strength for this effective share of the samples only, below 1.")
    private @Nullable Double share;

    @Mixin
    private final GuidanceOption guidance = new GuidanceOption();

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Mixin
    @SuppressWarnings("unused") // ConfigWords reads it
    private final ConfigOption config = new ConfigOption();

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        check();
        try (MetaFlowMap map = checkpoint.loadAny(device);
                LoadedReward loaded = LoadedReward.of(
                        reward, checkpoint, map, classes.labels(map, checkpoint.classNames(map)), seed, device.get());
                TensorScope scope = TensorScope.open()) {
            loaded.describe(Objects.requireNonNull(spec).commandLine().getOut());
            int batch = Math.min(MOST_AT_ONCE, SamplingMemory.itemsAtOnce(map));
            Condition condition = condition(map);
            Tensor images = decoded(loaded, base(map, condition, batch));
            print(Calibration.measure(loaded.reward(), images, condition, batch));
        }
        return 0;
    }

    private static Tensor decoded(LoadedReward loaded, Tensor states) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            return loaded.decoder().decode(states);
        }
    }

    private void check() {
        reward.check();
        if (samples < 2 || samples > 1_000_000) {
            throw new IllegalArgumentException("--samples " + samples + " is out of range: give 2 to 1000000");
        }
        if (divergence != null && !(divergence > 0 && Double.isFinite(divergence))) {
            throw new IllegalArgumentException("--kl " + divergence + " is out of range: give a number above 0");
        }
        if (share != null && !(share > 0 && share < 1)) {
            throw new IllegalArgumentException("--ess " + share + " is out of range: give a number between 0 and 1");
        }
        TimeGrid.uniform(steps);
    }

    private Condition condition(MetaFlowMap map) throws IOException {
        long[] chosen = classes.labels(map, checkpoint.classNames(map));
        if (map.classes() == 0) {
            return GuidanceOption.of(guidance.scale(map), map, null);
        }
        long[] labels = new long[samples];
        for (int i = 0; i < samples; i++) {
            labels[i] = chosen[i % chosen.length];
        }
        return GuidanceOption.of(guidance.scale(map), map, Torch.of(labels).to(device.get()));
    }

    /** Returns samples of the map's flow, in the innermost open scope. */
    private Tensor base(MetaFlowMap map, Condition condition, int batch) {
        OdeSampler sampler = new OdeSampler(new NetworkDrift(map), TimeGrid.uniform(steps), Solver.EULER);
        List<Tensor> parts = new ArrayList<>();
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                RandomSource random = RandomSource.seeded(seed, device.get())) {
            for (int from = 0; from < samples; from += batch) {
                int size = Math.min(batch, samples - from);
                parts.add(sampler.sample(Noise.of(random, map, size), condition.slice(from, size))
                        .samples());
            }
            return scope.keep(Torch.cat(0, parts.toArray(new Tensor[0])));
        }
    }

    private void print(Calibration found) {
        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        out.printf(
                Locale.ROOT,
                "%s on %d samples: mean %.6g, sd %.6g%s, %.3g s per sample%n",
                reward.spec(),
                found.count(),
                found.mean(),
                found.deviation(),
                found.impossible() == 0 ? "" : " of the finite scores, " + found.impossible() + " are -infinity",
                found.secondsPerItem());
        out.print("quantiles");
        for (double quantile : QUANTILES) {
            out.printf(Locale.ROOT, "  %.0f %%: %.6g", 100 * quantile, found.quantile(quantile));
        }
        out.printf("%n%12s %12s %8s%n", "lambda", "KL", "ESS");
        if (divergence != null) {
            row(out, found, found.strengthForDivergence(divergence));
        }
        if (share != null) {
            row(out, found, found.strengthForEffectiveShare(share));
        }
        if (divergence == null && share == null) {
            for (double wanted : DIVERGENCES) {
                rowIfReachable(out, found, wanted, () -> found.strengthForDivergence(wanted));
            }
        }
        out.flush();
    }

    private static void row(PrintWriter out, Calibration found, double strength) {
        out.printf(
                Locale.ROOT,
                "%12.5g %12.4g %7.1f%%%n",
                strength,
                found.divergence(strength),
                100 * found.effectiveShare(strength));
    }

    /** No finite number of samples reaches every divergence. */
    @SuppressWarnings("UnusedException")
    private static void rowIfReachable(PrintWriter out, Calibration found, double wanted, DoubleSupplier strength) {
        try {
            row(out, found, strength.getAsDouble());
        } catch (IllegalArgumentException e) {
            out.printf(Locale.ROOT, "%12s %12.4g %8s  not reachable with these samples%n", "-", wanted, "-");
        }
    }
}
