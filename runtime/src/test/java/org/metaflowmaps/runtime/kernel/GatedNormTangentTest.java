package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

class GatedNormTangentTest extends HostTest {
    private static final double EPS = 1e-6;
    private static final long TOKENS = 5;
    private static final GatedNormTangent REFERENCE = new GatedNormTangent(Kernels.NONE);

    /** The last column: which directions are zero. */
    @ParameterizedTest
    @CsvSource({
        "FLOAT32, FLOAT32, true, 128, none",
        "FLOAT32, BFLOAT16, true, 384, none",
        "FLOAT32, BFLOAT16, true, 384, rows",
        "FLOAT32, BFLOAT16, true, 384, tokens",
        "BFLOAT16, BFLOAT16, false, 128, none"
    })
    void kernelsComputeTheComposedOperators(DType stream, DType branch, boolean gated, long width, String zero) {
        GatedNormTangent norm = new GatedNormTangent(host());
        int launches = host().launches();
        GatedNorm.Input input = input(stream, branch, gated, width);
        GatedNorm.Input random = input(stream, branch, gated, width);
        boolean tokens = !zero.equals("tokens");
        boolean rows = !zero.equals("rows");
        GatedNormTangent.Direction direction = new GatedNormTangent.Direction(
                tokens ? random.stream() : null,
                tokens ? random.branch() : null,
                rows ? random.gate() : null,
                rows ? random.shift() : null,
                rows ? random.scale() : null);
        GatedNormTangent.Output output = norm.forward(input, direction, branch, EPS);
        assertEquals(1, host().launches() - launches);

        GatedNormTangent.Output exact =
                REFERENCE.forward(GatedNormTest.wide(input), wide(direction), DType.FLOAT64, EPS);
        Precision.assertClose("value's sum", output.value().sum(), exact.value().sum(), Precision.bound(stream, 1e-6));
        Precision.assertClose("sum", output.sum(), exact.sum(), Precision.bound(stream, 1e-6));
        // Both sums are rounded to the stream's type, so compare the rest for those sums.
        GatedNorm.Input rounded =
                GatedNormTest.wide(new GatedNorm.Input(output.value().sum(), null, null, input.shift(), input.scale()));
        GatedNormTangent.Output expected = REFERENCE.forward(
                rounded,
                wide(new GatedNormTangent.Direction(output.sum(), null, null, direction.shift(), direction.scale())),
                DType.FLOAT64,
                EPS);
        double bound = Precision.bound(branch, 4e-6);
        Precision.assertClose("value", output.value().output(), expected.value().output(), bound);
        Precision.assertClose("tangent", output.output(), expected.output(), bound);
        Precision.assertClose("mean", output.value().mean(), expected.value().mean(), 1e-6);
        Precision.assertClose("rstd", output.value().rstd(), expected.value().rstd(), 1e-6);
    }

    @Test
    void composedTangentsAreDifferences() {
        GatedNorm.Input at = GatedNormTest.wide(input(DType.FLOAT32, DType.FLOAT32, true, 40));
        GatedNorm.Input along = GatedNormTest.wide(input(DType.FLOAT32, DType.FLOAT32, true, 40));
        double step = 1e-5;
        GatedNorm norm = new GatedNorm(Kernels.NONE);
        Tensor above = norm.forward(moved(at, along, step), DType.FLOAT64, EPS).output();
        Tensor below = norm.forward(moved(at, along, -step), DType.FLOAT64, EPS).output();
        GatedNormTangent.Output found = REFERENCE.forward(
                at,
                new GatedNormTangent.Direction(
                        along.stream(), along.branch(), along.gate(), along.shift(), along.scale()),
                DType.FLOAT64,
                EPS);
        Precision.assertClose("tangent", found.output(), above.sub(below).div(2 * step), 1e-7);
    }

    @Test
    void incompleteDirectionsAreRefused() {
        GatedNorm.Input input = input(DType.FLOAT32, DType.FLOAT32, true, 128);
        GatedNormTangent.Direction half =
                new GatedNormTangent.Direction(input.stream(), null, null, input.shift(), null);
        assertThrows(IllegalArgumentException.class, () -> REFERENCE.forward(input, half, DType.FLOAT32, EPS));
    }

    private static GatedNorm.Input moved(GatedNorm.Input at, GatedNorm.Input along, double step) {
        return new GatedNorm.Input(
                moved(at.stream(), along.stream(), step),
                moved(present(at.branch()), present(along.branch()), step),
                moved(present(at.gate()), present(along.gate()), step),
                moved(at.shift(), along.shift(), step),
                moved(at.scale(), along.scale(), step));
    }

    private static Tensor moved(Tensor at, Tensor along, double step) {
        return at.add(along.mul(step));
    }

    private GatedNorm.Input input(DType stream, DType branch, boolean gated, long width) {
        Tensor[] rows = Torch.cat(1, random.normal(2, width), random.normal(2, 2 * width))
                .chunk(3, 1);
        return new GatedNorm.Input(
                Precision.normal(random, stream, 2, TOKENS, width),
                gated ? Precision.normal(random, branch, 2, TOKENS, width) : null,
                gated ? rows[0] : null,
                rows[1],
                rows[2]);
    }

    private static GatedNormTangent.Direction wide(GatedNormTangent.Direction direction) {
        return new GatedNormTangent.Direction(
                wide(direction.stream()),
                wide(direction.branch()),
                wide(direction.gate()),
                wide(direction.shift()),
                wide(direction.scale()));
    }

    private static @Nullable Tensor wide(@Nullable Tensor tensor) {
        return tensor == null ? null : GatedNormTest.wide(tensor);
    }

    private static Tensor present(@Nullable Tensor tensor) {
        return Objects.requireNonNull(tensor);
    }
}
