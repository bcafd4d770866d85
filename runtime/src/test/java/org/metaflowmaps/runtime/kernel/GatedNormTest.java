package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

class GatedNormTest extends HostTest {
    private static final double EPS = 1e-6;
    /** Two chunks of tokens for the backward kernel, the second one shorter. */
    private static final long TOKENS = 19;

    private static final GatedNorm REFERENCE = new GatedNorm(Kernels.NONE);

    /** Kernels against float64, for the types of a float32 and of a bfloat16 residual stream. */
    @ParameterizedTest
    @CsvSource({
        "FLOAT32, FLOAT32, true, 128",
        "FLOAT32, BFLOAT16, true, 384",
        "BFLOAT16, BFLOAT16, true, 128",
        "FLOAT32, BFLOAT16, false, 128"
    })
    void kernelsComputeTheComposedOperators(DType stream, DType branch, boolean gated, long width) {
        GatedNorm norm = new GatedNorm(host());
        int launches = host().launches();
        GatedNorm.Input input = input(stream, branch, DType.FLOAT32, gated, width);
        GatedNorm.Output output = norm.forward(input, branch, EPS);
        assertEquals(1, host().launches() - launches);

        GatedNorm.Output exact = REFERENCE.forward(wide(input), DType.FLOAT64, EPS);
        Precision.assertClose("sum", output.sum(), exact.sum(), Precision.bound(stream, 1e-6));
        assertEquals(stream, output.sum().dtype());
        // The sum is rounded to the stream's type, so compare the rest for that sum.
        GatedNorm.Input rounded = wide(new GatedNorm.Input(output.sum(), null, null, input.shift(), input.scale()));
        GatedNorm.Output expected = REFERENCE.forward(rounded, DType.FLOAT64, EPS);
        Precision.assertClose("output", output.output(), expected.output(), Precision.bound(branch, 2e-6));
        Precision.assertClose("mean", output.mean(), expected.mean(), 1e-6);
        Precision.assertClose("rstd", output.rstd(), expected.rstd(), 1e-6);

        Tensor gradient = Precision.normal(random, branch, 2, TOKENS, width);
        Tensor fromSum = Precision.normal(random, stream, 2, TOKENS, width);
        GatedNorm.Gradients gradients = norm.backward(input, output, gradient, fromSum);
        assertEquals(3, host().launches() - launches);
        GatedNorm.Gradients wanted = REFERENCE.backward(
                wide(input),
                new GatedNorm.Output(
                        wide(output.sum()), wide(output.output()), wide(output.mean()), wide(output.rstd())),
                wide(gradient),
                wide(fromSum));
        Precision.assertClose("stream", gradients.stream(), wanted.stream(), Precision.bound(stream, 2e-6));
        Precision.assertClose("shift", gradients.shift(), wanted.shift(), 4e-6);
        Precision.assertClose("scale", gradients.scale(), wanted.scale(), 4e-6);
        if (gated) {
            Precision.assertClose(
                    "branch", present(gradients.branch()), present(wanted.branch()), Precision.bound(branch, 2e-6));
            Precision.assertClose("gate", present(gradients.gate()), present(wanted.gate()), 4e-6);
        } else {
            assertSame(input.stream(), output.sum());
            assertNull(gradients.branch());
        }
    }

    @Test
    void noGradientOfTheSumCountsAsZero() {
        GatedNorm norm = new GatedNorm(host());
        GatedNorm.Input input = input(DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, true, 128);
        GatedNorm.Output output = norm.forward(input, DType.FLOAT32, EPS);
        Tensor gradient = random.normal(2, TOKENS, 128);
        Tensor without = norm.backward(input, output, gradient, null).stream();
        Tensor zero = norm.backward(input, output, gradient, Torch.zerosLike(gradient)).stream();
        assertEquals(0, without.sub(zero).abs().max().item());
    }

    /** The mean's rounding is left; a difference of squares would leave no digit. */
    @Test
    void aLargeMeanCostsNoDigits() {
        GatedNorm.Input input = input(DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, false, 128);
        GatedNorm.Input far = new GatedNorm.Input(input.stream().add(4096), null, null, input.shift(), input.scale());
        GatedNorm.Output output = new GatedNorm(host()).forward(far, DType.FLOAT32, EPS);
        GatedNorm.Output expected = REFERENCE.forward(wide(far), DType.FLOAT64, EPS);
        Precision.assertClose("output", output.output(), expected.output(), 5e-3);
    }

    @Test
    void composedGradientsAreAutograds() {
        GatedNorm.Input input = wide(input(DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, true, 40));
        List<Tensor> leaves =
                List.of(input.stream(), present(input.branch()), present(input.gate()), input.shift(), input.scale());
        leaves.forEach(leaf -> leaf.requiresGrad_(true));
        Tensor sum = Torch.addcmul(leaves.get(0), leaves.get(2).unsqueeze(1), leaves.get(1));
        Tensor output = Torch.addcmul(
                leaves.get(3).unsqueeze(1),
                Torch.layerNorm(sum, EPS).output(),
                leaves.get(4).unsqueeze(1).add(1));
        Tensor toOutput = random.normal(2, TOKENS, 40).to(DType.FLOAT64);
        Tensor toSum = random.normal(2, TOKENS, 40).to(DType.FLOAT64);
        List<Tensor> expected =
                Autograd.gradients(output.mul(toOutput).sum().add(sum.mul(toSum).sum()), leaves);
        GatedNorm.Output forward = REFERENCE.forward(input, DType.FLOAT64, EPS);
        Precision.assertClose("output", forward.output(), output.detach(), 1e-12);
        GatedNorm.Gradients found = REFERENCE.backward(input, forward, toOutput, toSum);
        List<Tensor> actual =
                List.of(found.stream(), present(found.branch()), present(found.gate()), found.shift(), found.scale());
        for (int i = 0; i < leaves.size(); i++) {
            Precision.assertClose("gradient " + i, actual.get(i), expected.get(i), 1e-11);
        }
    }

    /** Widths that kernels do not take, and devices without kernels. */
    @Test
    void otherWidthsAreComposed() {
        int launches = host().launches();
        GatedNorm.Input input = input(DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, true, 64);
        new GatedNorm(host()).forward(input, DType.FLOAT32, EPS);
        GatedNorm.on(input.stream()).forward(input, DType.FLOAT32, EPS);
        assertEquals(launches, host().launches());
    }

    @Test
    void wrongShapesAreNamed() {
        Tensor stream = random.normal(2, 3, 128);
        Tensor row = random.normal(2, 128);
        assertRefused(() -> new GatedNorm.Input(stream, null, null, row, random.normal(3, 128)), "scale", "[2, 128]");
        assertThrows(IllegalArgumentException.class, () -> new GatedNorm.Input(stream, stream, null, row, row));
        assertThrows(IllegalArgumentException.class, () -> new GatedNorm.Input(row, null, null, row, row));
    }

    /** Modulations are views of one tensor, as in a block. */
    private GatedNorm.Input input(DType stream, DType branch, DType modulation, boolean gated, long width) {
        Tensor[] rows = random.normal(2, 3 * width).to(modulation).chunk(3, 1);
        return new GatedNorm.Input(
                Precision.normal(random, stream, 2, TOKENS, width),
                gated ? Precision.normal(random, branch, 2, TOKENS, width) : null,
                gated ? rows[0] : null,
                rows[1],
                rows[2]);
    }

    static GatedNorm.Input wide(GatedNorm.Input input) {
        return new GatedNorm.Input(
                wide(input.stream()),
                input.branch() == null ? null : wide(input.branch()),
                input.gate() == null ? null : wide(input.gate()),
                wide(input.shift()),
                wide(input.scale()));
    }

    static Tensor wide(Tensor tensor) {
        return tensor.to(DType.FLOAT64).contiguous();
    }

    private static Tensor present(@Nullable Tensor tensor) {
        return Objects.requireNonNull(tensor);
    }
}
