package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;

import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Philox compared with Random123's known answers, and the properties of numbers by address. */
final class CounterNoiseTest {
    private static final int MANY = 400_000;
    private static final CounterNoise.Key KEY = new CounterNoise.Key(7, 1, 2, 3, 4);

    private static int[] philox(long low, long high, long key) {
        int[] words = new int[4];
        CounterNoise.philox(low, high, key, words);
        return words;
    }

    @Test
    void knownAnswers() {
        assertArrayEquals(new int[] {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}, philox(0, 0, 0));
        assertArrayEquals(new int[] {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}, philox(-1, -1, -1));
        assertArrayEquals(
                new int[] {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
                philox(0x85a308d3_243f6a88L, 0x03707344_13198a2eL, 0x299f31d0_a4093822L));
    }

    private static double[] normal(long seed, CounterNoise.Key key, int count) {
        double[] values = new double[count];
        new CounterNoise(seed).normal(key, values, 0, count);
        return values;
    }

    private static double moment(double[] values, int power) {
        return Arrays.stream(values).map(x -> Math.pow(x, power)).sum() / values.length;
    }

    /** Within five standard errors of the normal law's moments 0, 1, 0, 3, 0, 15. */
    @Test
    void normalNumbersHaveTheMomentsOfTheNormalLaw() {
        double[] values = normal(11, KEY, MANY);
        double[] expected = {0, 1, 0, 3, 0, 15};
        double[] variances = {1, 2, 15, 96, 945, 10_170};
        for (int power = 1; power <= 6; power++) {
            assertEquals(
                    expected[power - 1],
                    moment(values, power),
                    5 * Math.sqrt(variances[power - 1] / MANY),
                    "moment " + power);
        }
        long beyond = Arrays.stream(values).filter(x -> Math.abs(x) > 3).count();
        assertEquals(0.0026998 * MANY, (double) beyond, 5 * Math.sqrt(0.0027 * MANY), "beyond 3");
    }

    /** Neighbouring numbers, and those of neighbouring keys and seeds, are uncorrelated, as are their squares. */
    @Test
    void neighboursAreIndependent() {
        int count = MANY / 4;
        double[] base = normal(11, KEY, count);
        for (CounterNoise.Key key : List.of(
                new CounterNoise.Key(8, 1, 2, 3, 4),
                new CounterNoise.Key(7, 2, 2, 3, 4),
                new CounterNoise.Key(7, 1, 3, 3, 4),
                new CounterNoise.Key(7, 1, 2, 4, 4),
                new CounterNoise.Key(7, 1, 2, 3, 5))) {
            assertUncorrelated(base, normal(11, key, count), key.toString());
        }
        assertUncorrelated(base, normal(12, KEY, count), "seed");
        assertUncorrelated(base, normal(11L + (1L << 32), KEY, count), "upper half of the seed");
        for (int lag = 1; lag <= 4; lag++) {
            assertUncorrelated(base, Arrays.copyOfRange(normal(11, KEY, count + lag), lag, count + lag), "lag " + lag);
        }
    }

    private static void assertUncorrelated(double[] left, double[] right, String what) {
        double bound = 5 / Math.sqrt(left.length);
        double product = 0;
        double squares = 0;
        for (int i = 0; i < left.length; i++) {
            product += left[i] * right[i];
            squares += (left[i] * left[i] - 1) * (right[i] * right[i] - 1) / 2;
        }
        assertEquals(0, product / left.length, bound, what);
        assertEquals(0, squares / left.length, bound, what + ", squares");
    }

    @Test
    void aNumberDependsOnItsPlaceAlone() {
        double[] all = normal(3, KEY, 11);
        for (int count = 0; count <= 11; count++) {
            assertArrayEquals(Arrays.copyOf(all, count), normal(3, KEY, count));
        }
        float[] single = new float[15];
        new CounterNoise(3).normal(KEY, single, 3, 11);
        for (int i = 0; i < 15; i++) {
            assertEquals(i < 3 || i > 13 ? 0 : (float) all[i - 3], single[i]);
        }
    }

    /** Every bit of an address reaches the counter: extreme keys give different numbers. */
    @Test
    void theEndsOfTheRangesAreDifferentKeys() {
        int most = (1 << 20) - 1;
        Set<Double> seen = new HashSet<>();
        CounterNoise noise = new CounterNoise(5);
        List<CounterNoise.Key> keys = List.of(
                new CounterNoise.Key(0, 0, 0, 0, 0),
                new CounterNoise.Key((1L << 40) - 1, 0, 0, 0, 0),
                new CounterNoise.Key(1L << 39, 0, 0, 0, 0),
                new CounterNoise.Key(0, 15, 0, 0, 0),
                new CounterNoise.Key(0, 8, 0, 0, 0),
                new CounterNoise.Key(0, 0, most, 0, 0),
                new CounterNoise.Key(0, 0, 1 << 19, 0, 0),
                new CounterNoise.Key(0, 0, 0, most, 0),
                new CounterNoise.Key(0, 0, 0, 1 << 19, 0),
                new CounterNoise.Key(0, 0, 0, 0, most),
                new CounterNoise.Key(0, 0, 0, 0, 1 << 19));
        keys.forEach(key -> assertTrue(seen.add(noise.uniform(key)), key.toString()));
        for (long seed : new long[] {6, -1, 5L + (1L << 63)}) {
            assertTrue(seen.add(new CounterNoise(seed).uniform(keys.getFirst())));
        }
    }

    @Test
    void uniformNumbersFillTheUnitInterval() {
        CounterNoise noise = new CounterNoise(9);
        int count = 100_000;
        int[] bins = new int[20];
        boolean fine = false;
        for (int i = 0; i < count; i++) {
            double value = noise.uniform(new CounterNoise.Key(i, 0, 0, 0, 0));
            assertTrue(value >= 0 && value < 1);
            bins[(int) (value * bins.length)]++;
            fine |= value * 0x1p53 % 2 != 0;
        }
        assertTrue(fine, "the last of 53 bits is never set");
        double expected = (double) count / bins.length;
        double distance = Arrays.stream(bins)
                .mapToDouble(n -> (n - expected) * (n - expected) / expected)
                .sum();
        assertTrue(distance < 50, "chi squared of 19 degrees of freedom: " + distance);
        assertFalse(distance < 3, "too even: " + distance);
    }

    /** Float numbers are computed in a faster way, and must be the rounded double ones to the last bit. */
    @Test
    void singleNumbersAreRoundedDoubleOnes() {
        CounterNoise noise = new CounterNoise(11);
        double[] wide = new double[4096];
        float[] single = new float[4096];
        for (int draw = 0; draw < 200; draw++) {
            CounterNoise.Key key = new CounterNoise.Key(draw, 1, 2, 3, 4);
            noise.normal(key, wide, 0, wide.length);
            noise.normal(key, single, 0, single.length);
            for (int i = 0; i < wide.length; i++) {
                assertEquals((float) wide[i], single[i]);
            }
        }
    }

    @Test
    void numbersNearTheMiddleOfTwoFloatsAreNotSure() {
        for (float below : new float[] {0.3f, -1.7f, 3e-8f, 6.5f}) {
            double middle = ((double) below + Math.nextUp(below)) / 2;
            for (double near : new double[] {middle, Math.nextUp(middle), middle * (1 - 0x1p-49)}) {
                assertFalse(CounterNoise.isSure(near));
            }
            assertTrue(CounterNoise.isSure(middle * (1 + 0x1p-40)));
            assertTrue(CounterNoise.isSure(below));
        }
        assertTrue(CounterNoise.isSure(-0.0));
    }

    @Test
    void refusesWhatIsOutOfRange() {
        illegalArgument("item is -1, expected 0 to 1099511627775", () -> new CounterNoise.Key(-1, 0, 0, 0, 0));
        illegalArgument("item is 1099511627776", () -> new CounterNoise.Key(1L << 40, 0, 0, 0, 0));
        illegalArgument("use is 16", () -> new CounterNoise.Key(0, 16, 0, 0, 0));
        illegalArgument("step is 1048576", () -> new CounterNoise.Key(0, 0, 1 << 20, 0, 0));
        illegalArgument("particle is 1048576", () -> new CounterNoise.Key(0, 0, 0, 1 << 20, 0));
        illegalArgument("draw is 1048576", () -> new CounterNoise.Key(0, 0, 0, 0, 1 << 20));
        CounterNoise noise = new CounterNoise(1);
        assertThrows(IndexOutOfBoundsException.class, () -> noise.normal(KEY, new float[4], 1, 4));
        assertThrows(IndexOutOfBoundsException.class, () -> noise.normal(KEY, new double[4], 0, -1));
    }
}
