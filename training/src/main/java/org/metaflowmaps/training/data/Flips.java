package org.metaflowmaps.training.data;

/**
 * Which items of a stream are mirrored: half of them, drawn by the seed and an item's place in the whole stream.
 *
 * @param on false for none
 * @param seed of the run
 */
record Flips(boolean on, long seed) {
    /** A stream of seeds that none of the epochs' orders has. */
    private static final long STREAM = 0x666c6970L << 20;

    boolean at(long place) {
        return on && Seeds.of(Seeds.of(seed, STREAM), place) < 0;
    }
}
