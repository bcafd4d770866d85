package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.bindings.CudaRuntime;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Kernels on a GPU against float64 by libtorch's operators there, at the sizes of XL/2. */
@Tag("gpu")
class DeviceKernelsTest {
    private static final double EPS = 1e-6;
    private static final long WIDTH = 1152;
    private static final long TOKENS = 256;
    private static final long BATCH = 3;

    private TensorScope scope;
    private RandomSource random;

    @BeforeEach
    void open() {
        assumeTrue(
                CudaRuntime.deviceCount() > 0,
                () -> CudaRuntime.noDeviceReason().orElse(""));
        scope = TensorScope.open();
        random = RandomSource.seeded(7, Device.cuda(0));
        assertTrue(Kernels.of(random.normal(1)).holds(Device.cuda(0)), "kernels cannot be compiled, see the log");
    }

    @AfterEach
    void close() {
        if (scope != null) {
            random.close();
            scope.close();
        }
    }

    @ParameterizedTest
    @CsvSource({"FLOAT32, BFLOAT16", "FLOAT32, FLOAT32", "BFLOAT16, BFLOAT16"})
    void norms(DType stream, DType branch) {
        GatedNorm norm = GatedNorm.on(random.normal(1));
        GatedNorm.Input input = input(stream, branch);
        GatedNorm.Output output = norm.forward(input, branch, EPS);
        GatedNorm.Input rounded =
                GatedNormTest.wide(new GatedNorm.Input(output.sum(), null, null, input.shift(), input.scale()));
        GatedNorm.Output expected = GatedNorm.composed().forward(rounded, DType.FLOAT64, EPS);
        Precision.assertClose("output", output.output(), expected.output(), Precision.bound(branch, 4e-6));

        Tensor gradient = values(branch);
        Tensor fromSum = values(stream);
        GatedNorm.Gradients gradients = norm.backward(input, output, gradient, fromSum);
        GatedNorm.Gradients wanted = GatedNorm.composed()
                .backward(
                        GatedNormTest.wide(input),
                        new GatedNorm.Output(
                                GatedNormTest.wide(output.sum()),
                                GatedNormTest.wide(output.output()),
                                GatedNormTest.wide(output.mean()),
                                GatedNormTest.wide(output.rstd())),
                        GatedNormTest.wide(gradient),
                        GatedNormTest.wide(fromSum));
        Precision.assertClose("stream", gradients.stream(), wanted.stream(), Precision.bound(stream, 4e-6));
        Precision.assertClose(
                "branch",
                Objects.requireNonNull(gradients.branch()),
                Objects.requireNonNull(wanted.branch()),
                Precision.bound(branch, 4e-6));
        Precision.assertClose("shift", gradients.shift(), wanted.shift(), 1e-5);
        Precision.assertClose("scale", gradients.scale(), wanted.scale(), 1e-5);
        Precision.assertClose(
                "gate", Objects.requireNonNull(gradients.gate()), Objects.requireNonNull(wanted.gate()), 1e-5);
        // The order of the sums is fixed.
        GatedNorm.Gradients again = norm.backward(input, output, gradient, fromSum);
        assertEquals(0, again.scale().sub(gradients.scale()).abs().max().item());
    }

    @Test
    void normTangents() {
        GatedNorm.Input input = input(DType.FLOAT32, DType.BFLOAT16);
        GatedNorm.Input along = input(DType.FLOAT32, DType.BFLOAT16);
        GatedNormTangent.Direction direction = new GatedNormTangent.Direction(
                along.stream(), along.branch(), along.gate(), along.shift(), along.scale());
        GatedNorm.Input exact = GatedNormTest.wide(along);
        GatedNormTangent.Output output =
                GatedNormTangent.on(random.normal(1)).forward(input, direction, DType.BFLOAT16, EPS);
        GatedNormTangent.Output expected = GatedNormTangent.composed()
                .forward(
                        GatedNormTest.wide(input),
                        new GatedNormTangent.Direction(
                                exact.stream(), exact.branch(), exact.gate(), exact.shift(), exact.scale()),
                        DType.FLOAT64,
                        EPS);
        Precision.assertClose("sum", output.sum(), expected.sum(), 2e-6);
        Precision.assertClose("tangent", output.output(), expected.output(), Precision.bound(DType.BFLOAT16, 0));
    }

    @ParameterizedTest
    @CsvSource({"BFLOAT16, 72, 256, 256", "BFLOAT16, 64, 200, 300", "BFLOAT16, 128, 64, 64", "FLOAT32, 72, 256, 256"})
    void attentionTangents(DType type, long width, long queries, long keys) {
        Tensor[] at = heads(type, width, queries, keys);
        Tensor[] along = heads(type, width, queries, keys);
        Tensor query = at[0].to(DType.FLOAT64);
        Tensor scores = query.mul(1 / Math.sqrt((double) width))
                .matmul(at[1].to(DType.FLOAT64).transpose(-2, -1));
        Tensor value = scores.softmax(-1).matmul(at[2].to(DType.FLOAT64));
        AttentionTangent.Input input = new AttentionTangent.Input(
                at[0], at[1], at[2], value.to(type), scores.logsumexp(-1).to(DType.FLOAT32));
        AttentionTangent.Input exact = new AttentionTangent.Input(
                query, at[1].to(DType.FLOAT64), at[2].to(DType.FLOAT64), value, scores.logsumexp(-1));
        Precision.assertClose(
                "tangent",
                AttentionTangent.on(at[0]).forward(input, along[0], along[1], along[2]),
                AttentionTangent.composed()
                        .forward(
                                exact,
                                along[0].to(DType.FLOAT64),
                                along[1].to(DType.FLOAT64),
                                along[2].to(DType.FLOAT64)),
                type == DType.BFLOAT16 ? 0.016 : 1e-5);
    }

    @ParameterizedTest
    @CsvSource({"true", "false"})
    void optimiserSteps(boolean rectified) {
        AdamPass.Settings settings = new AdamPass.Settings(0.9, 0.99, 1e-8, rectified ? 0 : 0.1, 5, rectified);
        long count = 10_000_019;
        Tensor values = random.normal(count);
        AdamPass.Buffers own = buffers(values.clone(), DType.FLOAT32);
        AdamPass.Buffers exact = buffers(values.to(DType.FLOAT64), DType.FLOAT64);
        for (int step = 1; step <= 8; step++) {
            Tensor gradient = random.normal(count);
            own.gradients().copy_(gradient);
            exact.gradients().copy_(gradient);
            AdamPass.Scalars scalars = scalars(step, gradient.norm());
            AdamPass.on(values, settings).step(own, scalars);
            AdamPass.composed(settings).step(exact, scalars);
        }
        Precision.assertClose("values", own.values(), exact.values(), 4e-6);
        Precision.assertClose("square", own.square(), exact.square(), 4e-6);
        Precision.assertClose(
                "average", Objects.requireNonNull(own.average()), Objects.requireNonNull(exact.average()), 4e-6);
    }

    @Test
    void gelu() {
        Tensor input = values(DType.BFLOAT16).mul(4);
        Tensor direction = values(DType.BFLOAT16);
        GeluTangent.Output output = GeluTangent.on(input).forward(input, direction);
        GeluTangent.Output expected =
                GeluTangent.composed().forward(input.to(DType.FLOAT64), direction.to(DType.FLOAT64));
        Precision.assertClose("value", output.value(), expected.value(), Precision.bound(DType.BFLOAT16, 0));
        Precision.assertClose("tangent", output.tangent(), expected.tangent(), Precision.bound(DType.BFLOAT16, 0));
        assertSame(DType.BFLOAT16, output.value().dtype());
    }

    private Tensor values(DType type) {
        return random.normal(BATCH, TOKENS, WIDTH).to(type);
    }

    private GatedNorm.Input input(DType stream, DType branch) {
        Tensor[] rows = random.normal(BATCH, 6 * WIDTH).chunk(6, 1);
        return new GatedNorm.Input(values(stream), values(branch), rows[2], rows[3], rows[4]);
    }

    private Tensor[] heads(DType type, long width, long queries, long keys) {
        Tensor own = random.normal(BATCH, queries, 3, 4, width).to(type);
        Tensor other = random.normal(BATCH, keys, 2, 4, width).to(type);
        return new Tensor[] {
            own.select(2, 0).transpose(1, 2),
            other.select(2, 0).transpose(1, 2),
            other.select(2, 1).transpose(1, 2)
        };
    }

    private static AdamPass.Buffers buffers(Tensor values, DType type) {
        Device device = values.device();
        long count = values.numel();
        return new AdamPass.Buffers(
                values,
                Torch.zeros(type, device, count),
                Torch.zeros(type, device, count),
                Torch.zeros(type, device, count),
                Torch.zeros(type, device, count),
                Torch.zeros(DType.BFLOAT16, device, count));
    }

    private static AdamPass.Scalars scalars(int count, Tensor norm) {
        Device device = norm.device();
        return new AdamPass.Scalars(
                Torch.full(0.01, DType.FLOAT64, device),
                Torch.full(count, DType.FLOAT64, device),
                Torch.zeros(DType.FLOAT32, device),
                norm,
                Torch.full(0.1, DType.FLOAT32, device));
    }
}
