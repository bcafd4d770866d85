package org.metaflowmaps.steering.evaluation;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;
import org.metaflowmaps.steering.evaluation.FrontierResult.Estimate;
import org.metaflowmaps.steering.particle.BestOfN;

/**
 * Means of scores over the best of every subset of a size, each sample weighted by its probability to be the best
 * ({@link BestOfN#subsetWeights}); plain means for size 1.
 *
 * <p>Standard errors are the jackknife's, which leaves out one of at most 64 blocks of samples at a time. With as many
 * blocks as samples those of plain means are the usual ones.
 *
 * @param reward mean reward
 * @param judge mean of the judge's score
 * @param agreement share of agreement
 * @param distance between histogram and target
 * @param corrected the distance without the chance of the samples
 * @param histogram share of each class
 */
record SubsetStatistics(
        Estimate reward,
        Estimate judge,
        Estimate agreement,
        Estimate distance,
        double corrected,
        List<Double> histogram) {
    private static final int BLOCKS = 64;
    private static final int REWARD = 0;
    private static final int JUDGE = 1;
    private static final int AGREEMENT = 2;
    private static final int DISTANCE = 3;
    private static final int HISTOGRAM = 4;

    /**
     * Computes the means.
     *
     * @param scores of all samples
     * @param size of the subsets, from 1 to the number of samples
     * @param target share of each class
     */
    static SubsetStatistics of(SampleScores scores, int size, double[] target) {
        int count = scores.count();
        // Ties are broken by the samples' order, so that results do not depend on the sorting.
        int[] order = IntStream.range(0, count)
                .boxed()
                .sorted(Comparator.<Integer>comparingDouble(i -> scores.rewards()[i])
                        .thenComparingInt(i -> i))
                .mapToInt(Integer::intValue)
                .toArray();
        double[] all = means(scores, order, size, target);
        int blocks = Math.min(count, BLOCKS);
        double[] errors = new double[all.length];
        Arrays.fill(errors, Double.NaN);
        if (blocks > 1 && count - Math.ceilDiv(count, blocks) >= size) {
            List<double[]> without = new ArrayList<>();
            for (int block = 0; block < blocks; block++) {
                int left = block;
                int[] kept =
                        Arrays.stream(order).filter(i -> i % blocks != left).toArray();
                without.add(means(scores, kept, size, target));
            }
            Arrays.setAll(errors, i -> jackknife(without, i));
        }
        double chance = 0;
        for (int i = HISTOGRAM; i < errors.length; i++) {
            chance += errors[i] * errors[i];
        }
        double squared = all[DISTANCE] * all[DISTANCE] - chance;
        return new SubsetStatistics(
                new Estimate(all[REWARD], errors[REWARD], count),
                new Estimate(all[JUDGE], errors[JUDGE], count),
                new Estimate(all[AGREEMENT], errors[AGREEMENT], count),
                new Estimate(all[DISTANCE], errors[DISTANCE], count),
                Math.sqrt(Math.max(0, squared)),
                Arrays.stream(all, HISTOGRAM, all.length).boxed().toList());
    }

    private static double[] means(SampleScores scores, int[] order, int size, double[] target) {
        double[] means = new double[HISTOGRAM + target.length];
        double[] weights = BestOfN.subsetWeights(order.length, size);
        for (int rank = size - 1; rank < order.length; rank++) {
            int i = order[rank];
            means[REWARD] += weights[rank] * scores.rewards()[i];
            means[JUDGE] += weights[rank] * scores.judge()[i];
            means[AGREEMENT] += scores.agrees()[i] ? weights[rank] : 0;
            means[HISTOGRAM + scores.classes()[i]] += weights[rank];
        }
        double squares = 0;
        for (int i = 0; i < target.length; i++) {
            double difference = means[HISTOGRAM + i] - target[i];
            squares += difference * difference;
        }
        means[DISTANCE] = Math.sqrt(squares);
        return means;
    }

    /** Returns √((B - 1)/B·Σ(θ_b - θ̄)²). */
    static double jackknife(List<double[]> without, int index) {
        double mean =
                without.stream().mapToDouble(means -> means[index]).average().orElse(Double.NaN);
        double squares = without.stream()
                .mapToDouble(means -> (means[index] - mean) * (means[index] - mean))
                .sum();
        return Math.sqrt(squares * (without.size() - 1) / without.size());
    }
}
