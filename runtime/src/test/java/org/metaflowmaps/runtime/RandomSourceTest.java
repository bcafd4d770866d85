package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.illegalState;

import java.util.Arrays;
import java.util.stream.LongStream;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

class RandomSourceTest {
    /** One draw of each kind. */
    private static double[] draws(RandomSource source) {
        try (TensorScope scope = TensorScope.open()) {
            return Reference.concat(source.normal(3, 5).toDoubleArray(), source.uniform(7).toDoubleArray(),
                    source.integers(-3, 9, 4).toDoubleArray(), source.permutation(6).toDoubleArray(),
                    source.categorical(Torch.of(new float[] {1, 2, 3}), 5).toDoubleArray(), source.normal(40).toDoubleArray());
        }
    }

    @Test
    void theSameSeedGivesTheSameNumbers() {
        try (RandomSource first = RandomSource.seeded(42);
                RandomSource second = RandomSource.seeded(42);
                RandomSource third = RandomSource.seeded(43)) {
            double[] numbers = draws(first);
            assertArrayEquals(numbers, draws(second));
            assertFalse(Arrays.equals(numbers, draws(third)));
            assertFalse(Arrays.equals(numbers, draws(first)));
        }
    }

    @Test
    void otherSourcesAndTheGlobalGeneratorChangeNothing() {
        double[] alone;
        try (RandomSource source = RandomSource.seeded(5)) {
            alone = Reference.concat(draws(source), draws(source));
        }
        try (RandomSource source = RandomSource.seeded(5);
                RandomSource other = RandomSource.seeded(6);
                TensorScope scope = TensorScope.open()) {
            double[] first = draws(source);
            draws(other);
            torch.manual_seed(99);
            double global = Tensor.adopt(torch.randn(1)).item();
            torch.manual_seed(99);
            double[] second = draws(source);
            assertArrayEquals(alone, Reference.concat(first, second));
            // Nor does a source move the global generator.
            assertEquals(global, Tensor.adopt(torch.randn(1)).item());
        }
    }

    @Test
    void aStateBringsTheNumbersBack() {
        try (RandomSource source = RandomSource.seeded(7);
                RandomSource other = RandomSource.seeded(8);
                TensorScope scope = TensorScope.open()) {
            // An odd number of normals leaves one in the generator's pocket, which is part of the state.
            source.normal(3);
            Tensor state = source.state();
            assertEquals(DType.UINT8, state.dtype());
            double[] numbers = draws(source);
            source.restore(state);
            assertArrayEquals(numbers, draws(source));
            other.restore(state);
            assertArrayEquals(numbers, draws(other));
        }
    }

    @Test
    void distributionsAreWhatTheyAreCalled() {
        int count = 40_000;
        try (RandomSource source = RandomSource.seeded(11);
                TensorScope scope = TensorScope.open()) {
            Tensor normal = source.normal(count);
            Tensor uniform = source.uniform(count);
            Tensor dice = source.integers(1, 7, count);
            Tensor chosen = source.categorical(Torch.of(new float[] {1, 0, 3}), count);
            // Each tolerance is five standard errors.
            assertEquals(0, normal.mean().item(), 5 / Math.sqrt(count));
            assertEquals(1, normal.var(false, 0).item(), 5 * Math.sqrt(2.0 / count));
            assertEquals(0.5, uniform.mean().item(), 5 * Math.sqrt(1.0 / 12 / count));
            assertTrue(uniform.min().item() >= 0 && uniform.max().item() < 1);
            for (int face = 1; face <= 6; face++) {
                assertEquals(1 / 6.0, dice.eq(face).to(DType.FLOAT64).mean().item(), 5 * Math.sqrt(5.0 / 36 / count));
            }
            assertTrue(dice.min().item() == 1 && dice.max().item() == 6);
            assertFalse(chosen.eq(1).any().item() != 0);
            assertEquals(0.75, chosen.eq(2).to(DType.FLOAT64).mean().item(), 5 * Math.sqrt(3.0 / 16 / count));
            assertArrayEquals(LongStream.range(0, 500).toArray(), source.permutation(500).sort(0).values().toLongArray());
        }
    }

    @Test
    void aClosedSourceIsRefused() {
        try (TensorScope scope = TensorScope.open()) {
            RandomSource source = RandomSource.seeded(1);
            Tensor state = source.state();
            source.close();
            source.close();
            illegalState("this RandomSource was closed", () -> source.normal(1));
            illegalState("this RandomSource was closed", source::state);
            illegalState("this RandomSource was closed", () -> source.restore(state));
        }
    }
}
