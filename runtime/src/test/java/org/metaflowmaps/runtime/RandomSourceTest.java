package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.illegalState;

import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.DoubleStream;
import java.util.stream.LongStream;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

class RandomSourceTest {
    /** One draw of each kind. */
    private static double[] draws(RandomSource source) {
        try (TensorScope scope = TensorScope.open()) {
            return Reference.concat(
                    source.normal(3, 5).toDoubleArray(),
                    source.uniform(7).toDoubleArray(),
                    source.integers(-3, 9, 4).toDoubleArray(),
                    source.permutation(6).toDoubleArray(),
                    source.categorical(Torch.of(new float[] {1, 2, 3}), 5).toDoubleArray(),
                    source.normal(40).toDoubleArray());
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
            // A source does not advance the global generator.
            assertEquals(global, Tensor.adopt(torch.randn(1)).item());
        }
    }

    @Test
    void aStateBringsTheNumbersBack() {
        try (RandomSource source = RandomSource.seeded(7);
                RandomSource other = RandomSource.seeded(8);
                TensorScope scope = TensorScope.open()) {
            // After an odd number of normals the generator caches one more, which is part of the state.
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
            assertEquals(1, normal.var(0).item(), 5 * Math.sqrt(2.0 / count));
            assertEquals(0.5, uniform.mean().item(), 5 * Math.sqrt(1.0 / 12 / count));
            assertTrue(uniform.min().item() >= 0 && uniform.max().item() < 1);
            for (int face = 1; face <= 6; face++) {
                assertEquals(1 / 6.0, dice.eq(face).to(DType.FLOAT64).mean().item(), 5 * Math.sqrt(5.0 / 36 / count));
            }
            assertTrue(dice.min().item() == 1 && dice.max().item() == 6);
            assertFalse(chosen.eq(1).any().item() != 0);
            assertEquals(0.75, chosen.eq(2).to(DType.FLOAT64).mean().item(), 5 * Math.sqrt(3.0 / 16 / count));
            assertArrayEquals(
                    LongStream.range(0, 500).toArray(),
                    source.permutation(500).sort(0).values().toLongArray());
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

    /** The first numbers of PyTorch's generator after {@code torch.manual_seed}. */
    @Test
    void smallSeedsAreThoseOfPyTorch() {
        try (RandomSource source = RandomSource.seeded(0xffff_ffffL);
                TensorScope scope = TensorScope.open()) {
            torch.manual_seed(0xffff_ffffL);
            assertArrayEquals(
                    Tensor.adopt(torch.rand(20)).toDoubleArray(),
                    source.uniform(20).toDoubleArray());
        }
    }

    @Test
    void bothHalvesOfASeedCount() {
        long[] seeds = {7, 7 | 1L << 32, 7 | 1L << 63, 1L << 32, 0, -1, 0xffff_ffffL, Long.MIN_VALUE, 7L << 32};
        Set<List<Double>> streams = new HashSet<>();
        for (long seed : seeds) {
            try (RandomSource source = RandomSource.seeded(seed);
                    RandomSource again = RandomSource.seeded(seed)) {
                double[] numbers = draws(source);
                assertArrayEquals(numbers, draws(again));
                assertTrue(
                        streams.add(DoubleStream.of(numbers).boxed().toList()),
                        "seed " + seed + " repeats another's numbers");
            }
        }
    }

    @Test
    void aLargeSeedGivesUniformNumbers() {
        int count = 40_000;
        try (RandomSource source = RandomSource.seeded(1L << 40);
                TensorScope scope = TensorScope.open()) {
            Tensor uniform = source.uniform(count);
            assertEquals(0.5, uniform.mean().item(), 5 * Math.sqrt(1.0 / 12 / count));
            assertEquals(1 / 12.0, uniform.var(0).item(), 5 * Math.sqrt(1.0 / 180 / count));
        }
    }

    /**
     * The authors' reference output (mt19937ar.out): init_by_array of these four words, then the first numbers of 32
     * bits.
     */
    @Test
    void theStateOfAKeyIsThatOfTheReference() {
        int[] words = MersenneTwister.words(0x123, 0x234, 0x345, 0x456);
        long[] expected = {1067595299L, 955945823L, 477289528L, 4107218783L, 4228976476L};
        for (int i = 0; i < expected.length; i++) {
            int mixed = (words[i] & 0x80000000) | (words[i + 1] & 0x7fffffff);
            int next = words[i + 397] ^ (mixed >>> 1) ^ ((words[i + 1] & 1) == 0 ? 0 : 0x9908b0df);
            next ^= next >>> 11;
            next ^= (next << 7) & 0x9d2c5680;
            next ^= (next << 15) & 0xefc60000;
            next ^= next >>> 18;
            assertEquals(expected[i], Integer.toUnsignedLong(next));
        }
    }

    /** The other thread is in a draw so large that it is still running during this thread's call. */
    @Test
    void useByTwoThreadsAtOnceIsDetected() throws Exception {
        try (RandomSource source = RandomSource.seeded(3)) {
            AtomicBoolean refused = new AtomicBoolean();
            FutureTask<Void> other = new FutureTask<>(() -> {
                while (!refused.get()) {
                    try (TensorScope scope = TensorScope.open()) {
                        source.normal(200_000);
                    } catch (IllegalStateException e) {
                        assertTrue(String.valueOf(e.getMessage()).contains("in use by thread"), e.getMessage());
                        refused.set(true);
                    }
                }
                return null;
            });
            Thread.ofPlatform().name("drawing").start(other);
            while (!refused.get()) {
                try (TensorScope scope = TensorScope.open()) {
                    source.normal(200_000);
                } catch (IllegalStateException e) {
                    assertTrue(
                            String.valueOf(e.getMessage()).contains("in use by thread 'drawing' at the same time"),
                            e.getMessage());
                    refused.set(true);
                }
            }
            other.get();
            // Different threads may draw one after the other.
            assertEquals(3, draws(source)[0], 1000);
        }
    }
}
