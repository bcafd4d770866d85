package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;

/**
 * How a {@link Loader} reads its items.
 *
 * @param workers threads that read ahead; 0 to read on demand in the caller's thread
 * @param holdOut items that the stream never returns, 0 or more
 * @param flip whether half of the items, chosen by the seed and their position in the stream, are mirrored left to
 *     right
 * @param skip whether a damaged item is replaced by another; otherwise reading it throws
 * @param skipAtMost share of the items, from 0 to 1, that may be damaged before a batch throws anyway; rounded up to
 *     whole items
 */
public record Reading(int workers, int holdOut, boolean flip, boolean skip, double skipAtMost) {
    /** Checks the ranges. */
    public Reading {
        Preconditions.checkArgument(workers >= 0, "%s workers, expected 0 or more", workers);
        Preconditions.checkArgument(holdOut >= 0, "%s items held out, expected 0 or more", holdOut);
        Preconditions.checkArgument(
                skipAtMost >= 0 && skipAtMost <= 1, "a share of %s to skip at most, expected 0 to 1", skipAtMost);
    }

    /** Returns settings to read every item unchanged, with that many threads. */
    public static Reading of(int workers) {
        return new Reading(workers, 0, false, false, 0);
    }

    /** Returns these settings with that many items held out. */
    public Reading holdingOut(int items) {
        return new Reading(workers, items, flip, skip, skipAtMost);
    }
}
