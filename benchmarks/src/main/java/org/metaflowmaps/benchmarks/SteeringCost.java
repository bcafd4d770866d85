package org.metaflowmaps.benchmarks;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.MlpFlowMap;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.OdeSampler;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.particle.BestOfN;
import org.metaflowmaps.steering.particle.ParticleFilter;
import org.metaflowmaps.steering.particle.Potential;
import org.metaflowmaps.steering.particle.Transition;
import org.metaflowmaps.steering.reward.ImageStatistic;
import org.metaflowmaps.steering.reward.LinearReward;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.ValueFunction;

/**
 * Cost of steering beside the cost of its parts: network passes, gradients and rewards measured alone. Alternates the
 * two in one process and prints medians of wall times with their ratios, and the ratio of CPU times of the main thread,
 * which other programs disturb less.
 */
public final class SteeringCost {
    private static final int ROUNDS = 9;
    private static final int STEPS = 4;

    private final MetaFlowMap map;
    private final String only;
    private final Drift drift;
    private final Tilt tilt;

    private SteeringCost(MetaFlowMap map, Tilt tilt, String only) {
        this.map = map;
        this.tilt = tilt;
        this.only = only;
        this.drift = new NetworkDrift(map, false);
    }

    /** Measures; the arguments are a checkpoint of a map of images, and the first word of the comparisons to make. */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 1 && arguments.length != 2) {
            throw new IllegalArgumentException(
                    "expected a checkpoint of a meta flow map of images, and perhaps the first word of some"
                            + " comparisons");
        }
        String only = arguments.length == 2 ? arguments[1] : "";
        try (MetaFlowMap map = Networks.load(Path.of(arguments[0]), Device.CPU);
                RandomSource random = RandomSource.seeded(1);
                MetaFlowMap small =
                        MlpFlowMap.initialised(MlpConfig.builder().dimension(2).build(), Device.CPU, random);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            SteeringCost cost =
                    new SteeringCost(map, new Tilt(ImageStatistic.brightness(), new PixelDecoder(), 10), only);
            for (int draws : new int[] {1, 4, 16}) {
                cost.compare(
                        "steered step, N = " + draws + ", beside its parts",
                        () -> cost.steer(2, draws, draws),
                        () -> cost.parts(2, draws));
            }
            cost.compare(
                    "16 draws in chunks of 4, beside one chunk",
                    () -> cost.steer(2, 16, 4),
                    () -> cost.steer(2, 16, 16));
            cost.batch("8 images at once, beside 8 single ones, N = 4");
            Tilt linear = new Tilt(LinearReward.ofStates(new double[] {1.2, -0.8}, Device.CPU), 1);
            new SteeringCost(small, linear, only).batch("8 states of a small network, beside 8 single ones, N = 4");
            cost.compare("filter, 64 particles, N = 1, beside its passes", cost::filter, () -> cost.passes(64));
            cost.compare("best of 16, beside 16 plain samples", cost::best, cost::plain);
        }
    }

    private KeyedNoise noise(int items) {
        return KeyedNoise.of(1, 0, items, 1, map.itemShape(), Device.CPU);
    }

    private void batch(String name) {
        compare(name, () -> steer(8, 4, 4), () -> {
            for (int item = 0; item < 8; item++) {
                steer(1, 4, 4);
            }
        });
    }

    private Condition condition(long rows) {
        return map.itemShape().dim() == 1
                ? Condition.none()
                : Condition.labelled(Torch.of(new long[] {6}).repeatInterleave(rows, 0));
    }

    private void steer(int items, int draws, int chunk) {
        ValueFunction value = new ValueFunction(map, tilt, draws, ValueFunction.Noise.IID, chunk);
        new SteeredSampler(
                        new MonteCarloGradient(drift, value, Coefficient.PAPER),
                        TimeGrid.linspace(0.01, STEPS),
                        Dynamics.ODE)
                .sample(noise(items), condition(items));
    }

    /** The passes of {@link #steer} for given noise, without a sampler around them. */
    private void parts(int items, int draws) {
        Condition one = condition(items);
        Condition all = condition((long) items * draws);
        Tensor state = Torch.zeros(map.itemShape().prepend(items).toArray());
        Tensor noise = Torch.zeros(map.itemShape().prepend((long) items * draws).toArray());
        Tensor time = Torch.zeros(items).fill_(0.3);
        Tensor times = Torch.zeros((long) items * draws).fill_(0.3);
        for (int step = 0; step < STEPS; step++) {
            try (TensorScope scope = TensorScope.open()) {
                drift.at(time, state, one);
                Tensor states = state.repeatInterleave(draws, 0).clone().requiresGrad_(true);
                try (Autograd.Mode on = Autograd.enableGrad()) {
                    Tensor drawn = map.flowMap(
                            Torch.zerosLike(times),
                            Torch.onesLike(times),
                            noise,
                            Context.unchecked(times, states, all));
                    Tensor value = tilt.at(drawn, all)
                            .reshape(items, draws)
                            .logsumexp(1)
                            .sum();
                    Autograd.gradients(value, List.of(states));
                }
            }
        }
    }

    private void filter() {
        ParticleFilter filter = new ParticleFilter(
                Potential.of(new ValueFunction(map, tilt, 1)),
                new Transition.PosteriorDraw(map),
                TimeGrid.uniform(STEPS),
                64,
                0.5);
        filter.run(KeyedNoise.of(1, 0, 1, 64, map.itemShape(), Device.CPU), condition(1));
    }

    /** The passes of {@link #filter}: a draw for the potential and one for the transition at each step. */
    private void passes(int rows) {
        Condition all = condition(rows);
        Tensor state = Torch.zeros(map.itemShape().prepend(rows).toArray());
        Tensor time = Torch.zeros(rows).fill_(0.3);
        for (int pass = 0; pass < 2 * STEPS; pass++) {
            try (TensorScope scope = TensorScope.open()) {
                tilt.at(
                        map.flowMap(
                                Torch.zerosLike(time),
                                Torch.onesLike(time),
                                state,
                                Context.unchecked(time, state, all)),
                        all);
            }
        }
    }

    private void best() {
        BestOfN.ode(map, STEPS, tilt, 16, 16).run(noise(1), condition(1));
    }

    private void plain() {
        try (RandomSource random = RandomSource.seeded(1);
                TensorScope scope = TensorScope.open()) {
            Condition all = condition(16);
            tilt.at(
                    new OdeSampler(new NetworkDrift(map), STEPS)
                            .sample(Noise.of(random, map, 16), all)
                            .samples(),
                    all);
        }
    }

    private void compare(String name, Runnable whole, Runnable parts) {
        if (!name.startsWith(only)) {
            return;
        }
        double[] first = new double[ROUNDS];
        double[] second = new double[ROUNDS];
        double[] ratios = new double[ROUNDS];
        double[] cpuRatios = new double[ROUNDS];
        for (int round = -1; round < ROUNDS; round++) {
            Cost one = Cost.of(whole);
            Cost other = Cost.of(parts);
            if (round >= 0) {
                first[round] = one.wall;
                second[round] = other.wall;
                ratios[round] = one.wall / other.wall;
                cpuRatios[round] = one.cpu / other.cpu;
            }
        }
        System.out.printf(
                Locale.ROOT,
                "%-50s %8.1f ms %8.1f ms  ratio %.3f (%.3f to %.3f)  of CPU times %.3f (%.3f to %.3f)%n",
                name,
                median(first),
                median(second),
                median(ratios),
                Arrays.stream(ratios).min().orElseThrow(),
                Arrays.stream(ratios).max().orElseThrow(),
                median(cpuRatios),
                Arrays.stream(cpuRatios).min().orElseThrow(),
                Arrays.stream(cpuRatios).max().orElseThrow());
    }

    /** Milliseconds by the clock, and by the CPU time of this thread. */
    private record Cost(double wall, double cpu) {
        private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

        static Cost of(Runnable work) {
            long begin = System.nanoTime();
            long cpu = THREADS.getCurrentThreadCpuTime();
            try (TensorScope scope = TensorScope.open()) {
                work.run();
            }
            return new Cost((System.nanoTime() - begin) / 1e6, (THREADS.getCurrentThreadCpuTime() - cpu) / 1e6);
        }
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
