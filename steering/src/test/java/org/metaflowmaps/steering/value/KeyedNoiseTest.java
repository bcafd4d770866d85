package org.metaflowmaps.steering.value;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;

import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.value.SteeringNoise.Use;

/** An item's numbers do not depend on batch, chunk, neighbours or element type. */
final class KeyedNoiseTest {
    private static final Shape ITEM = Shape.of(2, 3);

    private static KeyedNoise noise(DType type, int particles, long... items) {
        return new KeyedNoise(5, items, particles, ITEM, type, Device.CPU);
    }

    @Test
    void anItemsNumbersDoNotDependOnItsBatch() {
        long live = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open()) {
            KeyedNoise all = noise(DType.FLOAT32, 2, 10, 11, 12, 900_000_000_000L);
            Tensor together = all.normal(Use.DRAW, 3, 0, 4);
            assertEquals(Shape.of(8, 4, 2, 3), together.shape());
            for (int i = 0; i < 4; i++) {
                long item = i == 3 ? 900_000_000_000L : 10 + i;
                double[] expected = together.narrow(0, 2L * i, 2).toDoubleArray();
                KeyedNoise alone = noise(DType.FLOAT32, 2, item);
                assertArrayEquals(expected, alone.normal(Use.DRAW, 3, 0, 4).toDoubleArray());
                assertArrayEquals(
                        expected, all.slice(i, 1).normal(Use.DRAW, 3, 0, 4).toDoubleArray());
                assertEquals(
                        all.uniform(Use.RESAMPLING, 3).select(0, i).item(),
                        alone.uniform(Use.RESAMPLING, 3).item());
            }
            KeyedNoise counted = KeyedNoise.of(5, 10, 3, 2, ITEM, Device.CPU);
            assertArrayEquals(
                    together.narrow(0, 0, 6).toDoubleArray(),
                    counted.normal(Use.DRAW, 3, 0, 4).toDoubleArray());
            // The first particle does not depend on the number of particles.
            assertArrayEquals(
                    together.select(0, 2).toDoubleArray(),
                    noise(DType.FLOAT32, 1, 11).normal(Use.DRAW, 3, 0, 4).toDoubleArray());
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void drawsDoNotDependOnChunks() {
        try (TensorScope scope = TensorScope.open()) {
            KeyedNoise noise = noise(DType.FLOAT32, 2, 4, 9);
            Tensor together = noise.normal(Use.DRAW, 0, 0, 5);
            assertArrayEquals(
                    together.narrow(1, 2, 3).toDoubleArray(),
                    noise.normal(Use.DRAW, 0, 2, 3).toDoubleArray());
            assertArrayEquals(
                    together.select(1, 0).toDoubleArray(),
                    noise.normal(Use.DRAW, 0).toDoubleArray());
        }
    }

    @Test
    void usesStepsAndRowsHaveNumbersOfTheirOwn() {
        Set<Double> seen = new HashSet<>();
        int count = 0;
        try (TensorScope scope = TensorScope.open()) {
            KeyedNoise noise = noise(DType.FLOAT64, 2, 4, 9);
            for (Use use : Use.values()) {
                for (int step = 0; step < 3; step++) {
                    double[] normal = noise.normal(use, step, 0, 2).toDoubleArray();
                    Arrays.stream(normal).forEach(seen::add);
                    count += normal.length;
                }
            }
            assertEquals(count, seen.size());
            Tensor uniform = noise.uniform(Use.RESAMPLING, 1);
            assertEquals(Shape.of(2), uniform.shape());
            assertEquals(DType.FLOAT64, uniform.dtype());
            double[] values = uniform.toDoubleArray();
            assertFalse(values[0] == values[1]);
            assertTrue(Arrays.stream(values).allMatch(x -> x >= 0 && x < 1));
        }
    }

    @Test
    void float32IsFloat64Rounded() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor wide = noise(DType.FLOAT64, 2, 4, 9).normal(Use.START, 0, 0, 2);
            Tensor narrow = noise(DType.FLOAT32, 2, 4, 9).normal(Use.START, 0, 0, 2);
            assertArrayEquals(wide.to(DType.FLOAT32).toFloatArray(), narrow.toFloatArray());
        }
    }

    @Test
    void namesRows() {
        KeyedNoise noise = noise(DType.FLOAT32, 3, 40, 7);
        assertEquals("item 40, particle 2", noise.row(2));
        assertEquals("item 7, particle 1", noise.row(4));
    }

    @Test
    void refusesWhatIsOutOfRange() {
        illegalArgument("0 items", () -> noise(DType.FLOAT32, 1));
        illegalArgument("0 particles", () -> noise(DType.FLOAT32, 0, 1));
        illegalArgument("item is -1", () -> noise(DType.FLOAT32, 1, 3, -1));
        illegalArgument("expected float32 or float64", () -> noise(DType.INT64, 1, 1));
        illegalArgument("0 draws", () -> noise(DType.FLOAT32, 1, 1).normal(Use.DRAW, 0, 0, 0));
        illegalArgument("draw is 1048576", () -> noise(DType.FLOAT32, 1, 1).normal(Use.DRAW, 0, 1 << 20, 1));
        illegalArgument(
                "4.0E9 numbers at once",
                () -> new KeyedNoise(1, new long[4000], 1, Shape.of(1000), DType.FLOAT32, Device.CPU)
                        .normal(Use.DRAW, 0, 0, 1000));
        illegalArgument("step is -1", () -> noise(DType.FLOAT32, 1, 1).normal(Use.DRAW, -1, 0, 1));
        illegalArgument("0 items", () -> KeyedNoise.of(1, 0, 0, 1, ITEM, Device.CPU));
    }
}
