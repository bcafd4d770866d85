package org.metaflowmaps.runtime;

/**
 * The state of a Mersenne Twister (MT19937) from a key of several words, as the authors' reference code computes it
 * ({@code init_by_array}; Matsumoto and Nishimura, 2002), and its position in the saved state of libtorch's CPU
 * generator.
 */
final class MersenneTwister {
    /**
     * The size of libtorch's saved CPU generator state, and the offset of its words, each in the low half of 64 bits.
     */
    static final int STATE_BYTES = 5056;

    static final int WORDS_BEGIN = 24;

    private static final int SIZE = 624;

    private MersenneTwister() {}

    static int[] words(int... key) {
        int[] words = new int[SIZE];
        words[0] = 19650218;
        for (int i = 1; i < SIZE; i++) {
            words[i] = 1812433253 * mixed(words[i - 1]) + i;
        }
        int place = 1;
        for (int step = 0; step < Math.max(SIZE, key.length); step++) {
            int part = step % key.length;
            words[place] = (words[place] ^ (mixed(words[place - 1]) * 1664525)) + key[part] + part;
            place = advance(words, place);
        }
        for (int step = 1; step < SIZE; step++) {
            words[place] = (words[place] ^ (mixed(words[place - 1]) * 1566083941)) - place;
            place = advance(words, place);
        }
        // The state must not be all zeros.
        words[0] = 0x80000000;
        return words;
    }

    private static int mixed(int word) {
        return word ^ (word >>> 30);
    }

    private static int advance(int[] words, int place) {
        if (place + 1 < SIZE) {
            return place + 1;
        }
        words[0] = words[SIZE - 1];
        return 1;
    }
}
