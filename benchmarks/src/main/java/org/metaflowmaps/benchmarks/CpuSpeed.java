package org.metaflowmaps.benchmarks;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.ImageStatistic;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.training.RunListener;
import org.metaflowmaps.training.Trainer;
import org.metaflowmaps.training.TrainingRun;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.TrainingData;

/**
 * Times of whole training steps, posterior draws and steered steps on the CPU, in milliseconds, for the comparison with
 * the same work in PyTorch ({@code benchmarks/python/compare.py}, which runs both in turn).
 *
 * <p>Prints one line per case: size, work, then the time of each repetition.
 */
public final class CpuSpeed {
    /** Posterior draws of each steered step. */
    static final int DRAWS = 4;

    /** Steps of a steered path. */
    static final int STEPS = 2;

    private CpuSpeed() {}

    /** Sizes of networks and batches. */
    @SuppressWarnings("ImmutableEnumChecker") // a record of numbers
    enum Size {
        TINY(28, 4, 1, 128, 4, 4, 3, 10, 64),
        S2(32, 2, 4, 384, 12, 6, 8, 1000, 8),
        B2(32, 2, 4, 768, 12, 12, 8, 1000, 8);

        private final TransformerConfig network;
        private final int batch;

        Size(int side, int patch, int channels, int width, int depth, int heads, int encoder, int classes, int batch) {
            this.network = TransformerConfig.builder()
                    .inputSize(side)
                    .patchSize(patch)
                    .inChannels(channels)
                    .hiddenSize(width)
                    .depth(depth)
                    .numHeads(heads)
                    .encoderDepth(encoder)
                    .labelDim(classes)
                    .build();
            this.batch = batch;
        }

        TransformerConfig network() {
            return network;
        }

        Shape items() {
            return Shape.of(batch, network.inChannels(), network.inputSize(), network.inputSize());
        }

        static Size named(String name) {
            return valueOf(name.toUpperCase(Locale.ROOT));
        }
    }

    /**
     * Measures.
     *
     * @param arguments size (tiny, s2, b2), work (flow, mfm, draws, steer), repetitions, then optionally the slices of a
     *     training step, its precision, and true to recompute activations
     */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length < 3) {
            throw new IllegalArgumentException(
                    "expected: tiny|s2|b2 flow|mfm|draws|steer REPETITIONS [SLICES [PRECISION [RECOMPUTE]]]");
        }
        Size size = Size.named(arguments[0]);
        int repetitions = Integer.parseInt(arguments[2]);
        int slices = arguments.length > 3 ? Integer.parseInt(arguments[3]) : 0;
        Precision precision =
                arguments.length > 4 ? Precision.valueOf(arguments[4].toUpperCase(Locale.ROOT)) : Precision.FLOAT32;
        boolean recompute = arguments.length > 5 && Boolean.parseBoolean(arguments[5]);
        List<Double> times = switch (arguments[1]) {
            case "flow" -> steps(size, LossConfig.ConsistencyKind.NONE, repetitions, slices, precision, recompute);
            case "mfm" -> steps(size, LossConfig.ConsistencyKind.MEAN_FLOW, repetitions, slices, precision, recompute);
            case "draws" -> draws(size, repetitions);
            case "steer" -> steer(size, repetitions);
            default ->
                throw new IllegalArgumentException("work " + arguments[1] + ", expected flow, mfm, draws, steer");
        };
        StringBuilder line = new StringBuilder(arguments[0]).append(' ').append(arguments[1]);
        times.forEach(time -> line.append(String.format(Locale.ROOT, " %.2f", time)));
        double[] sorted =
                times.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        System.err.printf(Locale.ROOT, "median %.1f ms%n", sorted[sorted.length / 2]);
        System.out.println(line);
    }

    private static List<Double> steps(
            Size size,
            LossConfig.ConsistencyKind consistency,
            int repetitions,
            int slices,
            Precision precision,
            boolean recompute)
            throws IOException {
        TrainConfig config = TrainConfig.builder()
                .steps(repetitions + 3L)
                .batch(size.batch)
                .slices(slices)
                .precision(precision)
                .recompute(recompute)
                .logEvery(1_000_000)
                .checkpointEvery(1_000_000)
                .model(ModelConfig.of(size.network))
                .loss(LossConfig.builder()
                        .consistency(consistency)
                        .consistencyShare(1)
                        .build())
                .optimizer(OptimizerConfig.builder()
                        .kind(OptimizerConfig.Kind.ADAMW)
                        .learningRate(1e-4)
                        .clip(1)
                        .build())
                .build();
        Path folder = Files.createTempDirectory("mfm-speed");
        Clock clock = new Clock(repetitions + 2L);
        try (Random data = new Random(size);
                TrainingRun run = new TrainingRun(config, data, Device.CPU, folder)) {
            run.initialise();
            run.run(clock);
        } catch (Finished e) {
            // The last step and its checkpoint are not needed.
        }
        return clock.times.subList(2, clock.times.size());
    }

    private static final class Finished extends IOException {
        private static final long serialVersionUID = 1;
    }

    /** Measures the time between steps. */
    private static final class Clock implements RunListener {
        private final List<Double> times = new ArrayList<>();
        private final long last;
        private long before = System.nanoTime();

        Clock(long last) {
            this.last = last;
        }

        @Override
        public void stepped(long step, Trainer.@Nullable Report report) throws IOException {
            long now = System.nanoTime();
            times.add((now - before) * 1e-6);
            before = now;
            if (step + 1 >= last) {
                throw new Finished();
            }
        }
    }

    /** The same random items at each step. */
    private static final class Random implements TrainingData {
        private final Size size;
        private final Tensor items;
        private final Tensor labels;

        Random(Size size) {
            this.size = size;
            try (TensorScope scope = TensorScope.open();
                    RandomSource random = RandomSource.seeded(1)) {
                items = random.normal(size.items()).retain();
                labels = random.integers(0, size.network.labelDim(), size.batch).retain();
            }
        }

        @Override
        public Shape itemShape() {
            return size.items().from(1);
        }

        @Override
        public int classes() {
            return size.network.labelDim();
        }

        @Override
        public Batch batch(long position, int count) {
            return new Batch(items, labels);
        }

        @Override
        public void close() {
            items.close();
            labels.close();
        }
    }

    private static List<Double> draws(Size size, int repetitions) {
        try (RandomSource random = RandomSource.seeded(1);
                MetaFlowMap map = FlowMapTransformer.initialised(size.network, Device.CPU, random);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.inference()) {
            Context context = new Context(
                    random.uniform(size.batch),
                    random.normal(size.items()),
                    Condition.labelled(random.integers(0, size.network.labelDim(), size.batch)));
            PosteriorSampler sampler = new PosteriorSampler(map, 1);
            return timed(repetitions, () -> sampler.sample(Noise.of(random, map, size.batch), context));
        }
    }

    private static List<Double> steer(Size size, int repetitions) {
        int items = size == Size.TINY ? 8 : 2;
        try (RandomSource random = RandomSource.seeded(1);
                MetaFlowMap original = FlowMapTransformer.initialised(size.network, Device.CPU, random);
                MetaFlowMap map = original.frozen();
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            SteeredSampler sampler = sampler(map);
            Condition condition = Condition.labelled(Torch.zeros(DType.INT64, Device.CPU, items));
            return timed(
                    repetitions,
                    () -> sampler.sample(KeyedNoise.of(1, 0, items, 1, map.itemShape(), Device.CPU), condition));
        }
    }

    /** Returns the sampler of steered paths: two steps towards bright images. */
    static SteeredSampler sampler(MetaFlowMap map) {
        Tilt tilt = new Tilt(ImageStatistic.brightness(), new PixelDecoder(), 10);
        ValueFunction value = new ValueFunction(map, tilt, DRAWS);
        return new SteeredSampler(
                new MonteCarloGradient(new NetworkDrift(map, false), value, Coefficient.PAPER),
                TimeGrid.linspace(0.01, STEPS),
                Dynamics.ODE);
    }

    private static List<Double> timed(int repetitions, Runnable work) {
        List<Double> times = new ArrayList<>();
        for (int i = -2; i < repetitions; i++) {
            long before = System.nanoTime();
            try (TensorScope scope = TensorScope.open()) {
                work.run();
            }
            if (i >= 0) {
                times.add((System.nanoTime() - before) * 1e-6);
            }
        }
        return times;
    }
}
