package org.metaflowmaps.steering.particle;

import java.time.Duration;

/**
 * The cost of a search.
 *
 * @param evaluations of the network and the reward per item, counted as in the paper (method §8.4)
 * @param time from the call to its return; a GPU may still be computing then
 * @param ending why the search ended
 */
public record Spent(long evaluations, Duration time, Ending ending) {
    /** Why a search ended. */
    public enum Ending {
        /** All steps were done. */
        COMPLETE,
        /** Another step would have exceeded the budget. */
        BUDGET,
        /** The listener cancelled. */
        CANCELLED
    }
}
