package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

class ArrayGeluTest {
    private static Tensor computed(Tensor input) {
        assertTrue(ArrayGelu.computes(input));
        return GeluTangent.on(input).forward(input);
    }

    /** Counts beside a tile's, and one that several threads share. */
    @ParameterizedTest
    @ValueSource(longs = {0, 1, 1023, 1024, 1025, 300_001})
    void computesGeluAndItsDerivative(long count) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(5)) {
            Tensor input = random.normal(count).mul(4);
            Tensor direction = random.normal(count);
            Tensor exact = input.to(DType.FLOAT64);
            GeluTangent gelu = GeluTangent.on(input);
            GeluTangent.Output both = gelu.forward(input, direction);
            assertArrayEquals(computed(input).toFloatArray(), both.value().toFloatArray());
            assertArrayEquals(
                    gelu.backward(input, direction).toFloatArray(),
                    both.tangent().toFloatArray());
            Tensor value = input.clone();
            Tensor slope = direction.clone();
            assertSame(value, gelu.forwardOver(value, slope).value());
            assertArrayEquals(both.value().toFloatArray(), value.toFloatArray());
            assertArrayEquals(both.tangent().toFloatArray(), slope.toFloatArray());
            if (count > 0) {
                assertClose(both.value(), Torch.geluTanh(exact));
                assertClose(both.tangent(), Torch.geluTanhBackward(direction.to(DType.FLOAT64), exact));
            }
        }
    }

    private static void assertClose(Tensor computed, Tensor exact) {
        Tensor error =
                computed.to(DType.FLOAT64).sub(exact).abs().div(exact.abs().add(1));
        assertTrue(
                error.max().item() < 1e-6, () -> "largest error " + error.max().item());
    }

    /** From the smallest to the largest floats, also where e^y has no float. */
    @Test
    void agreesWithLibtorchEverywhere() {
        try (TensorScope scope = TensorScope.open()) {
            float[] values = new float[4 * 1024];
            for (int i = 0; i < values.length; i++) {
                values[i] = Float.intBitsToFloat(i << 20);
            }
            Tensor input = Torch.of(values, values.length);
            Tensor ones = Torch.onesLike(input);
            GeluTangent.Output computed = GeluTangent.on(input).forward(input, ones);
            Tensor exact = input.to(DType.FLOAT64);
            float[] value = Torch.geluTanh(exact).toFloatArray();
            float[] slope = Torch.geluTanhBackward(Torch.onesLike(exact), exact).toFloatArray();
            float[] computedValue = computed.value().toFloatArray();
            float[] computedSlope = computed.tangent().toFloatArray();
            for (int i = 0; i < values.length; i++) {
                float x = values[i];
                if (!Float.isFinite(x)) {
                    // libtorch's value of -∞ is NaN.
                    assertEquals(Float.isNaN(x) || x < 0, !(computedValue[i] > 0), "gelu of " + x);
                    assertTrue(Float.isNaN(computedSlope[i]), "derivative at " + x);
                } else if (Math.abs(x) < 1e9) {
                    // Beyond it also float64 computes the infinite cube of some inputs.
                    assertEquals(value[i], computedValue[i], 1e-6 * (1 + Math.abs(x)), "gelu of " + x);
                    assertEquals(slope[i], computedSlope[i], 2e-6, "derivative at " + x);
                } else {
                    assertEquals(Math.max(x, 0), computedValue[i], 1e-6f * Math.abs(x), "gelu of " + x);
                }
            }
        }
    }

    @Test
    void resultsDoNotDependOnThreads() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(6)) {
            Tensor whole = random.normal(2, 200_000);
            Tensor part = whole.narrow(0, 1, 1).contiguous();
            assertArrayEquals(
                    computed(whole).narrow(0, 1, 1).contiguous().toFloatArray(),
                    computed(part).toFloatArray());
        }
    }

    /** The loops read memory that libtorch does not know of as used. */
    @Test
    void anOperandMayBeClosedMeanwhile() throws InterruptedException {
        long before = NativeMemory.liveTensors();
        for (int round = 0; round < 50; round++) {
            Tensor input;
            try (TensorScope scope = TensorScope.open()) {
                input = Torch.full(0.5, DType.FLOAT32, Device.CPU, 1 << 20).retain();
            }
            Thread other = new Thread(input::close);
            try (TensorScope scope = TensorScope.open()) {
                GeluTangent gelu = GeluTangent.on(input);
                other.start();
                assertEquals(0.3457, gelu.forward(input).min().item(), 1e-3);
            } catch (IllegalStateException e) {
                assertTrue(input.isFreed(), e.toString());
            }
            other.join();
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    @Test
    void otherTensorsAreLeftToLibtorch() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor square = Torch.empty(DType.FLOAT32, Device.CPU, 4, 4).fill_(1);
            assertFalse(ArrayGelu.computes(square.to(DType.FLOAT64)));
            assertFalse(ArrayGelu.computes(square.to(DType.BFLOAT16)));
            assertFalse(ArrayGelu.computes(square.transpose(0, 1).narrow(0, 0, 2)));
        }
    }

    @Test
    void recordsNoGradients() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor input = Torch.empty(DType.FLOAT32, Device.CPU, 8).fill_(1).requiresGrad_(true);
            assertTrue(Autograd.isRecording());
            assertFalse(GeluTangent.on(input).forward(input).requiresGrad());
        }
    }
}
