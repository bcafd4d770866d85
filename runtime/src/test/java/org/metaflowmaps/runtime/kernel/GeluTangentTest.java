package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;

class GeluTangentTest extends HostTest {
    private static final GeluTangent REFERENCE = new GeluTangent(Kernels.NONE);

    /** Also far from zero, where the derivative is 0 or 1. */
    @ParameterizedTest
    @EnumSource(names = {"FLOAT32", "BFLOAT16"})
    void kernelsComputeTheComposedOperators(DType type) {
        GeluTangent gelu = new GeluTangent(host());
        int launches = host().launches();
        Tensor input = random.normal(3, 412).mul(6).to(type);
        Tensor direction = Precision.normal(random, type, 3, 412);
        GeluTangent.Output output = gelu.forward(input, direction);
        GeluTangent.Output expected = REFERENCE.forward(input.to(DType.FLOAT64), direction.to(DType.FLOAT64));
        double bound = Precision.bound(type, 2e-6);
        Precision.assertClose("value", output.value(), expected.value(), bound);
        Precision.assertClose("tangent", output.tangent(), expected.tangent(), bound);
        Precision.assertClose("gradient", gelu.backward(input, direction), expected.tangent(), bound);
        assertEquals(2, host().launches() - launches);
        GeluTangent.Output over = gelu.forwardOver(input, direction);
        assertSame(input, over.value());
        assertSame(direction, over.tangent());
        Precision.assertClose("value over the input", input, output.value().to(DType.FLOAT64), 0);
        Precision.assertClose(
                "tangent over the direction", direction, output.tangent().to(DType.FLOAT64), 0);
    }

    /** Four elements cannot be stored at once there. */
    @Test
    void operandsBetweenPlacesOfFourAreNotOverwritten() {
        GeluTangent gelu = new GeluTangent(host());
        Tensor input = random.normal(2 * 412);
        Tensor shifted = random.normal(2 * 412 + 1).narrow(0, 1, 2 * 412);
        GeluTangent.Output output = gelu.forwardOver(input, shifted);
        assertNotSame(shifted, output.tangent());
        GeluTangent.Output expected = REFERENCE.forward(input.to(DType.FLOAT64), shifted.to(DType.FLOAT64));
        Precision.assertClose("tangent", output.tangent(), expected.tangent(), 2e-6);
    }

    @Test
    void operandsWithGapsAreNotOverwritten() {
        GeluTangent gelu = new GeluTangent(host());
        Tensor input = random.normal(8, 6);
        Tensor gaps = random.normal(6, 8).transpose(0, 1);
        assertThrows(IllegalArgumentException.class, () -> gelu.forwardOver(input, gaps));
        assertThrows(IllegalArgumentException.class, () -> gelu.forwardOver(gaps, input));
    }

    @ParameterizedTest
    @EnumSource(names = {"FLOAT32", "BFLOAT16"})
    void otherCountsAreComposed(DType type) {
        int launches = host().launches();
        Tensor input = Precision.normal(random, type, 3, 5);
        new GeluTangent(host()).forward(input, input);
        assertEquals(launches, host().launches());
    }
}
