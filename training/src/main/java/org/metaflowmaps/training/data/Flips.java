package org.metaflowmaps.training.data;

/**
 * Chooses which items of a stream are mirrored: half of them, by the seed and the item's position in the stream.
 *
 * @param on false for none
 * @param seed of the run
 */
record Flips(boolean on, long seed) {
    /** A stream of seeds that no epoch's order uses. */
    private static final long STREAM = 0x666c6970L << 20;

    boolean at(long place) {
        return on && Seeds.of(Seeds.of(seed, STREAM), place) < 0;
    }
}
