package org.metaflowmaps.cli.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.Consumer;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.FlowMapSampler;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.steering.reward.ImageStatistic;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.training.config.Precision;

/** Measures operations, training, sampling, steering and files with networks of random weights. */
public final class Bench {
    /** Flow-map steps of a sample. */
    public static final int SAMPLE_STEPS = 4;

    /** Steps of a steered path. */
    public static final int STEER_STEPS = 2;

    /** Posterior draws of a steered step. */
    public static final int DRAWS = 4;

    private static final int WARM_UP = 2;

    private final BenchSize size;
    private final int batch;
    private final Device device;
    private final Precision precision;
    private final int repetitions;
    private final Consumer<BenchResult> results;
    private double ceiling;

    /**
     * Makes a benchmark.
     *
     * @param batch items at once
     * @param repetitions timed runs of each case; two untimed runs come first
     * @param results receives each result when it is measured
     */
    public Bench(
            BenchSize size,
            int batch,
            Device device,
            Precision precision,
            int repetitions,
            Consumer<BenchResult> results) {
        this.size = size;
        this.batch = batch;
        this.device = device;
        this.precision = precision;
        this.repetitions = repetitions;
        this.results = results;
    }

    private BenchTime time(BenchTime.Work work) throws IOException {
        try (Autocast mode = precision.on(device)) {
            return BenchTime.of(device, WARM_UP, repetitions, work);
        }
    }

    /** Measures the largest rate of a matrix product in this precision, to which other rates are compared, and of a copy. */
    public void ceiling() throws IOException {
        boolean gpu = device.type() == Device.Type.CUDA;
        long side = gpu ? 8192 : 1024;
        DType type = precision == Precision.BFLOAT16 ? DType.BFLOAT16 : DType.FLOAT32;
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1, device);
                Autograd.Mode off = Autograd.inference()) {
            Tensor left = random.normal(side, side).to(type);
            Tensor right = random.normal(side, side).to(type);
            BenchTime time = time(() -> left.matmul(right));
            ceiling = 2.0 * side * side * side / time.least();
            results.accept(BenchResult.of("ops", "matmul " + side + " " + type, time)
                    .with("tflops_per_second", 1e-12 * ceiling));
            Tensor source = random.normal(gpu ? 1L << 28 : 1L << 24);
            Tensor target = Torch.zerosLike(source);
            BenchTime copy = time(() -> target.copy_(source));
            results.accept(BenchResult.of("ops", "copy", copy)
                    .with("gigabytes_per_second", 8e-9 * source.numel() / copy.median()));
        }
    }

    /** Measures operations of a block at this size and batch. */
    public void operations() throws IOException {
        long width = size.network().hiddenSize();
        long heads = size.network().numHeads();
        DType type = precision == Precision.BFLOAT16 ? DType.BFLOAT16 : DType.FLOAT32;
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1, device);
                Autograd.Mode off = Autograd.inference()) {
            Tensor tokens = random.normal(batch, size.tokens(), width);
            Tensor weight = random.normal(4 * width, width);
            BenchTime linear = time(() -> Torch.linear(tokens, weight));
            results.accept(BenchResult.of("ops", "linear " + width + " to " + 4 * width, linear)
                    .work(linear, 8.0 * batch * size.tokens() * width * width, ceiling));
            Tensor query =
                    random.normal(batch, heads, size.tokens(), width / heads).to(type);
            BenchTime attention = time(() -> Torch.scaledDotProductAttention(query, query, query));
            results.accept(BenchResult.of("ops", "attention", attention)
                    .work(attention, 4.0 * batch * size.tokens() * size.tokens() * width, ceiling));
            BenchTime norm = time(() -> Torch.layerNorm(tokens, 1e-6));
            results.accept(BenchResult.of("ops", "layer norm", norm)
                    .with("gigabytes_per_second", 8e-9 * tokens.numel() / norm.median()));
            Tensor hidden = random.normal(batch, size.tokens(), 4 * width).to(type);
            BenchTime gelu = time(() -> Torch.geluTanh(hidden));
            results.accept(BenchResult.of("ops", "gelu", gelu)
                    .with("gigabytes_per_second", 2e-9 * type.bytes() * hidden.numel() / gelu.median()));
        }
    }

    /** Measures this library's kernels, and the same work by libtorch's operators. */
    public void kernels() throws IOException {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1, device);
                Autograd.Mode off = Autograd.noGrad()) {
            new BenchKernels(size, batch, device, work -> BenchTime.of(device, WARM_UP, repetitions, work), results)
                    .run(random);
        }
    }

    /** Measures training steps: see {@link BenchTraining}. */
    public void training() throws IOException {
        for (BenchTraining.Kind kind : BenchTraining.Kind.values()) {
            BenchTime time = new BenchTraining(size, batch, device, precision).time(kind, WARM_UP, repetitions);
            results.accept(BenchResult.of("train", kind.toString(), time)
                    .with("images_per_second", batch / time.median())
                    .work(time, kind.passes() * size.forwardFlops() * batch, ceiling));
        }
    }

    /** Measures samples of four flow-map steps. */
    public void sampling() throws IOException {
        try (RandomSource random = RandomSource.seeded(1, device);
                MetaFlowMap map = size.network().initialised(device, random);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.inference()) {
            Condition condition = condition(random);
            FlowMapSampler sampler = new FlowMapSampler(map, SAMPLE_STEPS);
            BenchTime time = time(() -> sampler.sample(Noise.of(random, map, batch), condition));
            results.accept(BenchResult.of("sample", SAMPLE_STEPS + " steps", time)
                    .with("images_per_second", batch / time.median())
                    .work(time, SAMPLE_STEPS * size.forwardFlops() * batch, ceiling));
        }
    }

    /** Measures steered paths: each step evaluates the drift, and posterior draws with their gradient in the state. */
    public void steering() throws IOException {
        try (RandomSource random = RandomSource.seeded(1, device);
                MetaFlowMap original = size.network().initialised(device, random);
                MetaFlowMap map = original.frozen();
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Condition condition = condition(random);
            Tilt tilt = new Tilt(ImageStatistic.brightness(), new PixelDecoder(), 10);
            SteeredSampler sampler = new SteeredSampler(
                    new MonteCarloGradient(
                            new NetworkDrift(map, false), new ValueFunction(map, tilt, DRAWS), Coefficient.PAPER),
                    TimeGrid.linspace(0.01, STEER_STEPS),
                    Dynamics.ODE);
            BenchTime time =
                    time(() -> sampler.sample(KeyedNoise.of(1, 0, batch, 1, map.itemShape(), device), condition));
            double passes = STEER_STEPS * (1.0 + 2 * DRAWS);
            results.accept(BenchResult.of("steer", STEER_STEPS + " steps of " + DRAWS + " draws", time)
                    .with("images_per_second", batch / time.median())
                    .with("evaluations_per_image", (double) sampler.evaluations(condition))
                    .work(time, passes * size.forwardFlops() * batch, ceiling));
        }
    }

    private Condition condition(RandomSource random) {
        return Condition.labelled(random.integers(0, size.network().labelDim(), batch));
    }

    /** Measures writing, forcing to the disk and reading of a file of the network's weights, in a temporary folder. */
    public void files() throws IOException {
        Path folder = Files.createTempDirectory("mfm-bench");
        Path file = folder.resolve("weights.safetensors");
        try (RandomSource random = RandomSource.seeded(1);
                MetaFlowMap map = size.network().initialised(Device.CPU, random)) {
            Map<String, Tensor> weights = map.parameters().parameters();
            double gigabytes = 4e-9 * map.parameters().count();
            BenchTime write =
                    BenchTime.of(Device.CPU, 1, repetitions, () -> Safetensors.write(file, Map.of(), weights));
            results.accept(BenchResult.of("io", "write weights", write)
                    .with("gigabytes_per_second", gigabytes / write.median()));
            BenchTime read = BenchTime.of(device, 1, repetitions, () -> read(file));
            results.accept(
                    BenchResult.of("io", "read weights", read).with("gigabytes_per_second", gigabytes / read.median()));
        } finally {
            Files.deleteIfExists(file);
            Files.delete(folder);
        }
    }

    /** Copies every tensor of a file to the device. */
    private void read(Path file) throws IOException {
        try (SafetensorsFile opened = SafetensorsFile.open(file)) {
            for (String name : opened.entries().keySet()) {
                Tensor view = Safetensors.view(opened, name);
                Tensor copy = device.type() == Device.Type.CPU ? view.clone() : view.to(device);
                copy.close();
            }
        }
    }
}
