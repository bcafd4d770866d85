package org.metaflowmaps.steering.evaluation;

import java.util.Arrays;
import java.util.List;

/**
 * What the reward's classifier and the judge say of some samples.
 *
 * @param rewards of each
 * @param judge the judge's score of each
 * @param classes the judge's class of each
 * @param agrees whether the reward's classifier gives the same class
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record SampleScores(double[] rewards, double[] judge, int[] classes, boolean[] agrees) {
    /** Returns the number of samples. */
    int count() {
        return rewards.length;
    }

    /** Joins the scores of several batches, in order. */
    static SampleScores joined(List<SampleScores> parts) {
        int count = parts.stream().mapToInt(SampleScores::count).sum();
        SampleScores all = new SampleScores(new double[count], new double[count], new int[count], new boolean[count]);
        int at = 0;
        for (SampleScores part : parts) {
            System.arraycopy(part.rewards, 0, all.rewards, at, part.count());
            System.arraycopy(part.judge, 0, all.judge, at, part.count());
            System.arraycopy(part.classes, 0, all.classes, at, part.count());
            System.arraycopy(part.agrees, 0, all.agrees, at, part.count());
            at += part.count();
        }
        return all;
    }

    /** Returns the item with the largest reward in each of the first groups of a size. */
    long[] winners(int size, int groups) {
        long[] best = new long[Math.min(groups, count() / size)];
        Arrays.setAll(best, group -> {
            int winner = group * size;
            for (int i = winner + 1; i < (group + 1) * size; i++) {
                winner = rewards[i] > rewards[winner] ? i : winner;
            }
            return winner;
        });
        return best;
    }
}
