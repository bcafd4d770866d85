package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;

/**
 * How a {@link Loader} reads its items.
 *
 * @param workers threads that read ahead; 0 to read in the caller's thread, when asked
 * @param holdOut items that the stream never gives, 0 or more
 * @param flip whether half of the items, drawn by the seed and their place in the stream, are mirrored left to right
 * @param skip whether a damaged item is replaced by another one; otherwise asking for it throws
 * @param skipAtMost share of the items, from 0 to 1, that may be found damaged before a batch throws nevertheless; rounded up to whole
 *     items
 */
public record Reading(int workers, int holdOut, boolean flip, boolean skip, double skipAtMost) {
    /** Checks the ranges. */
    public Reading {
        Preconditions.checkArgument(workers >= 0, "%s workers, expected 0 or more", workers);
        Preconditions.checkArgument(holdOut >= 0, "%s items held out, expected 0 or more", holdOut);
        Preconditions.checkArgument(
                skipAtMost >= 0 && skipAtMost <= 1, "a share of %s to skip at most, expected 0 to 1", skipAtMost);
    }

    /** Every item as it is, with that many threads. */
    public static Reading of(int workers) {
        return new Reading(workers, 0, false, false, 0);
    }

    /** The same, with that many items held out. */
    public Reading holdingOut(int items) {
        return new Reading(workers, items, flip, skip, skipAtMost);
    }
}
