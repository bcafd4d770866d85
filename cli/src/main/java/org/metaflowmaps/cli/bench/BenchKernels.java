package org.metaflowmaps.cli.bench;

import java.io.IOException;
import java.util.function.Consumer;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.kernel.AdamPass;
import org.metaflowmaps.runtime.kernel.AttentionTangent;
import org.metaflowmaps.runtime.kernel.GatedNorm;
import org.metaflowmaps.runtime.kernel.GatedNormTangent;
import org.metaflowmaps.runtime.kernel.GeluTangent;

/**
 * Times of this library's kernels, and of the same work composed of libtorch's operators; on the CPU only of the latter. Rates are of the
 * bytes that a kernel moves (docs/kernels.md), also for composed work, so that they compare like times.
 */
final class BenchKernels {
    private static final double EPS = 1e-6;

    private final BenchSize size;
    private final int batch;
    private final Device device;
    private final Timer timer;
    private final Consumer<BenchResult> results;

    /** Times some work. */
    @FunctionalInterface
    interface Timer {
        BenchTime time(BenchTime.Work work) throws IOException;
    }

    /** Makes the cases; tensors are made in the innermost open scope. */
    BenchKernels(BenchSize size, int batch, Device device, Timer timer, Consumer<BenchResult> results) {
        this.size = size;
        this.batch = batch;
        this.device = device;
        this.timer = timer;
        this.results = results;
    }

    void run(RandomSource random) throws IOException {
        norms(random);
        gelu(random);
        attention(random);
        adam(random);
    }

    private void compare(String name, double bytes, BenchTime.Work kernel, BenchTime.Work composed) throws IOException {
        if (device.type() == Device.Type.CUDA) {
            report(name + ", kernel", bytes, kernel);
        }
        report(name + ", composed", bytes, composed);
    }

    private void report(String name, double bytes, BenchTime.Work work) throws IOException {
        BenchTime time = timer.time(work);
        results.accept(BenchResult.of("kernel", name, time).with("gigabytes_per_second", 1e-9 * bytes / time.median()));
    }

    private void norms(RandomSource random) throws IOException {
        long width = size.network().hiddenSize();
        Tensor stream = random.normal(batch, size.tokens(), width);
        Tensor branch = random.normal(batch, size.tokens(), width).to(DType.BFLOAT16);
        Tensor[] rows = random.normal(batch, 3 * width).chunk(3, 1);
        GatedNorm.Input input = new GatedNorm.Input(stream, branch, rows[0], rows[1], rows[2]);
        GatedNorm fused = GatedNorm.on(stream);
        GatedNorm plain = GatedNorm.composed();
        double elements = stream.numel();
        compare(
                "norm forward",
                12 * elements,
                () -> fused.forward(input, DType.BFLOAT16, EPS),
                () -> plain.forward(input, DType.BFLOAT16, EPS));
        GatedNorm.Output output = plain.forward(input, DType.BFLOAT16, EPS);
        compare(
                "norm backward",
                19.5 * elements,
                () -> fused.backward(input, output, branch, stream),
                () -> plain.backward(input, output, branch, stream));
        GatedNormTangent.Direction direction =
                new GatedNormTangent.Direction(stream, branch, rows[0], rows[1], rows[2]);
        compare(
                "norm tangent",
                24 * elements,
                () -> GatedNormTangent.on(stream).forward(input, direction, DType.BFLOAT16, EPS),
                () -> GatedNormTangent.composed().forward(input, direction, DType.BFLOAT16, EPS));
    }

    private void gelu(RandomSource random) throws IOException {
        Tensor hidden = random.normal(batch, size.tokens(), 4L * size.network().hiddenSize())
                .to(DType.BFLOAT16);
        compare(
                "gelu tangent",
                8.0 * hidden.numel(),
                () -> GeluTangent.on(hidden).forward(hidden, hidden),
                () -> GeluTangent.composed().forward(hidden, hidden));
    }

    private void attention(RandomSource random) throws IOException {
        long heads = size.network().numHeads();
        Tensor query = random.normal(batch, heads, size.tokens(), size.network().hiddenSize() / heads)
                .to(DType.BFLOAT16);
        Tensor logsumexp = query.to(DType.FLOAT32)
                .matmul(query.to(DType.FLOAT32).transpose(-2, -1))
                .mul(1 / Math.sqrt((double) query.size(3)))
                .logsumexp(-1);
        AttentionTangent.Input input = new AttentionTangent.Input(
                query, query, query, Torch.scaledDotProductAttention(query, query, query), logsumexp);
        compare(
                "attention tangent",
                16.0 * query.numel(),
                () -> AttentionTangent.on(query).forward(input, query, query, query),
                () -> AttentionTangent.composed().forward(input, query, query, query));
    }

    private void adam(RandomSource random) throws IOException {
        Tensor values = random.normal(Math.min(size.network().parameterCount(), 1L << 26));
        AdamPass.Settings settings = new AdamPass.Settings(0.9, 0.95, 1e-8, 0, 1, false);
        AdamPass.Buffers buffers = new AdamPass.Buffers(
                values,
                random.normal(values.numel()),
                Torch.zerosLike(values),
                Torch.zerosLike(values),
                Torch.zerosLike(values),
                values.to(DType.BFLOAT16));
        AdamPass.Scalars scalars = new AdamPass.Scalars(
                Torch.full(1e-4, DType.FLOAT64, device),
                Torch.full(1, DType.FLOAT64, device),
                Torch.zeros(DType.FLOAT32, device),
                Torch.full(1, DType.FLOAT32, device),
                Torch.full(1e-3, DType.FLOAT32, device));
        compare(
                "adam",
                38.0 * values.numel(),
                () -> AdamPass.on(values, settings).step(buffers, scalars),
                () -> AdamPass.composed(settings).step(buffers, scalars));
    }
}
