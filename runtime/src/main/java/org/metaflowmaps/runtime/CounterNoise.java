package org.metaflowmaps.runtime;

import java.util.Objects;

/**
 * Random numbers by address: each depends only on a seed and a {@link Key}, not on earlier draws, by Philox4x32-10
 * (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 *
 * <p>Philox uses all bits of seed and key, so two keys never share a number by accident. Numbers are computed in Java
 * and are the same on every machine and, once copied, on every device.
 *
 * <p>Thread safety: immutable.
 *
 * @param seed all 64 bits count
 */
public record CounterNoise(long seed) {
    private static final int ROUNDS = 10;
    private static final int MULTIPLIER_0 = 0xD2511F53;
    private static final int MULTIPLIER_2 = 0xCD9E8D57;
    private static final int WEYL_0 = 0x9E3779B9;
    private static final int WEYL_1 = 0xBB67AE85;

    /** Words per block, which is also the count of normal numbers per block. */
    private static final int BLOCK = 4;

    /** 16 ulp, more than numbers by Math and by StrictMath differ. */
    private static final double DOUBT = 0x1p-48;

    private static final int BLOCK_BITS = 24;
    private static final int DRAW_BITS = 20;
    private static final int ITEM_BITS = 40;
    private static final int STEP_BITS = 20;

    /** The most numbers of one key. */
    private static final long ELEMENTS = (long) BLOCK << BLOCK_BITS;

    /**
     * The address of numbers.
     *
     * @param item index in the whole run, 0 to 2⁴⁰ - 1
     * @param use the purpose of the numbers, 0 to 15
     * @param step 0 to 2²⁰ - 1
     * @param particle 0 to 2²⁰ - 1
     * @param draw 0 to 2²⁰ - 1
     */
    public record Key(long item, int use, int step, int particle, int draw) {
        /** Checks the ranges. */
        public Key {
            require("item", item, 1L << ITEM_BITS);
            require("use", use, 1 << 4);
            require("step", step, 1 << STEP_BITS);
            require("particle", particle, 1 << 20);
            require("draw", draw, 1 << DRAW_BITS);
        }

        private static void require(String name, long value, long end) {
            if (value < 0 || value >= end) {
                throw new IllegalArgumentException(
                        "noise key: " + name + " is " + value + ", expected 0 to " + (end - 1));
            }
        }

        private long low() {
            return (long) particle << (BLOCK_BITS + DRAW_BITS) | (long) draw << BLOCK_BITS;
        }

        private long high() {
            return (long) use << (ITEM_BITS + STEP_BITS) | (long) step << ITEM_BITS | item;
        }
    }

    /**
     * Writes the key's first standard normal numbers, by the Box-Muller method on pairs of 32-bit words; all are within
     * ±6.7.
     *
     * @param key the numbers' address
     * @param into the destination
     * @param from first place
     * @param count how many, at most 2²⁶
     * @throws IndexOutOfBoundsException if the destination is too small
     * @throws IllegalArgumentException for more than 2²⁶
     */
    public void normal(Key key, double[] into, int from, int count) {
        check(key, into.length, from, count);
        int[] words = new int[BLOCK];
        for (int i = 0; i < count; i += 2) {
            block(key, i, words);
            double radius = radius(level(words, i));
            double angle = angle(words, i);
            into[from + i] = radius * StrictMath.cos(angle);
            if (i + 1 < count) {
                into[from + i + 1] = radius * StrictMath.sin(angle);
            }
        }
    }

    /** As {@link #normal(Key, double[], int, int)}, each number rounded to float32. */
    public void normal(Key key, float[] into, int from, int count) {
        check(key, into.length, from, count);
        int[] words = new int[BLOCK];
        for (int i = 0; i < count; i += 2) {
            block(key, i, words);
            double level = level(words, i);
            double angle = angle(words, i);
            double radius = Math.sqrt(-2 * Math.log(level));
            double first = radius * Math.cos(angle);
            double second = radius * Math.sin(angle);
            into[from + i] = isSure(first) ? (float) first : (float) (radius(level) * StrictMath.cos(angle));
            if (i + 1 < count) {
                into[from + i + 1] = isSure(second) ? (float) second : (float) (radius(level) * StrictMath.sin(angle));
            }
        }
    }

    /**
     * Returns true if a number near this one rounds to the same float32. Math is faster than StrictMath, and both are
     * within an ulp of the exact functions, so their numbers here differ by a few ulp at most; they round differently
     * about once in a hundred million times.
     */
    static boolean isSure(double number) {
        double doubt = number * DOUBT;
        return (float) (number - doubt) == (float) (number + doubt);
    }

    /** Returns the key's uniform number in [0, 1), with all 53 bits of a double. */
    public double uniform(Key key) {
        int[] words = new int[BLOCK];
        philox(key.low(), key.high(), seed, words);
        return (((long) words[0] << 32 | Integer.toUnsignedLong(words[1])) >>> 11) * 0x1p-53;
    }

    private static void check(Key key, int length, int from, int count) {
        Objects.requireNonNull(key, "noise: the key is null");
        Objects.checkFromIndexSize(from, count, length);
        if (count > ELEMENTS) {
            throw new IllegalArgumentException("noise: " + count + " numbers of one key, expected at most " + ELEMENTS);
        }
    }

    /** Makes the words of a new block where one begins; place is even. */
    private void block(Key key, int place, int[] words) {
        if (place % BLOCK == 0) {
            philox(key.low() | place / BLOCK, key.high(), seed, words);
        }
    }

    /** Returns a uniform number in (0, 1], because the logarithm must be finite. */
    private static double level(int[] words, int place) {
        return (Integer.toUnsignedLong(words[place % BLOCK]) + 1) * 0x1p-32;
    }

    private static double angle(int[] words, int place) {
        return 2 * Math.PI * Integer.toUnsignedLong(words[place % BLOCK + 1]) * 0x1p-32;
    }

    /** Uses StrictMath, because Math may differ between machines. */
    private static double radius(double level) {
        return Math.sqrt(-2 * StrictMath.log(level));
    }

    /** Writes one block of four 32-bit words from a counter and a key, both with the low word first. */
    static void philox(long low, long high, long key, int[] words) {
        int c0 = (int) low;
        int c1 = (int) (low >>> 32);
        int c2 = (int) high;
        int c3 = (int) (high >>> 32);
        int k0 = (int) key;
        int k1 = (int) (key >>> 32);
        for (int round = 0; round < ROUNDS; round++) {
            long first = Integer.toUnsignedLong(MULTIPLIER_0) * Integer.toUnsignedLong(c0);
            long second = Integer.toUnsignedLong(MULTIPLIER_2) * Integer.toUnsignedLong(c2);
            c0 = (int) (second >>> 32) ^ c1 ^ k0;
            c1 = (int) second;
            c2 = (int) (first >>> 32) ^ c3 ^ k1;
            c3 = (int) first;
            k0 += WEYL_0;
            k1 += WEYL_1;
        }
        words[0] = c0;
        words[1] = c1;
        words[2] = c2;
        words[3] = c3;
    }
}
