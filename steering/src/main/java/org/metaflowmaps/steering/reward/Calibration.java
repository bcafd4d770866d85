package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.DoubleStream;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Statistics of a reward's scores on base samples, and the tilt of a strength λ: rewards have different scales, so the
 * same λ tilts each differently (method §7).
 *
 * <p>The tilted law is that of the samples with weights proportional to e^λr. This is exact for these samples; for the
 * base law it is an estimate, which is poor if few samples have most of the weight. It is reliable for a
 * Kullback-Leibler divergence well below log n and an effective sample size of many items.
 */
public final class Calibration {
    private final double[] sorted;
    private final int impossible;
    private final double mean;
    private final double deviation;
    private final double secondsPerItem;

    /**
     * Makes the calibration of some scores.
     *
     * @param scores scores of samples of the base law, two or more finite; -∞ has weight 0; copied
     * @param secondsPerItem the time of one score, from 0
     */
    public Calibration(double[] scores, double secondsPerItem) {
        for (int i = 0; i < scores.length; i++) {
            Preconditions.checkArgument(
                    scores[i] < Double.POSITIVE_INFINITY,
                    "calibration: score %s of %s is %s, expected finite numbers or -infinity",
                    i,
                    scores.length,
                    scores[i]);
        }
        Preconditions.checkArgument(
                secondsPerItem >= 0 && Double.isFinite(secondsPerItem),
                "calibration: the cost of a score is %s seconds, expected a finite number from 0",
                secondsPerItem);
        this.sorted = scores.clone();
        Arrays.sort(sorted);
        this.impossible = (int) Arrays.stream(sorted)
                .filter(score -> score == Double.NEGATIVE_INFINITY)
                .count();
        int finite = sorted.length - impossible;
        Preconditions.checkArgument(
                finite >= 2,
                "calibration: %s of %s scores are finite, expected at least 2: score more base samples",
                finite,
                sorted.length);
        this.mean = finite().average().orElseThrow();
        this.deviation =
                Math.sqrt(finite().map(score -> (score - mean) * (score - mean)).sum() / (finite - 1));
        this.secondsPerItem = secondsPerItem;
    }

    /**
     * Scores samples and measures the time; scores the first batch once before, so that loading is not measured.
     *
     * @param reward the reward to calibrate
     * @param samples samples of the base law, in the reward's form: decoded images, or states
     * @param condition of the samples
     * @param batch the number scored at once, at least 1
     * @throws RewardException if a score is NaN or +∞
     */
    public static Calibration measure(Reward reward, Tensor samples, Condition condition, int batch) {
        Preconditions.checkArgument(batch > 0, "calibration: the batch is %s, expected at least 1", batch);
        Preconditions.checkArgument(
                samples.dim() > 0 && samples.size(0) > 0,
                "calibration of reward %s: samples are %s, expected at least one item",
                reward.name(),
                samples);
        long items = samples.size(0);
        double[] ignored = scores(reward, samples, condition, 0, Math.min(batch, items));
        List<double[]> parts = new ArrayList<>();
        long began = System.nanoTime();
        for (long from = 0; from < items; from += batch) {
            parts.add(scores(reward, samples, condition, from, Math.min(batch, items - from)));
        }
        double seconds = (System.nanoTime() - began) / 1e9;
        double[] all = parts.stream().flatMapToDouble(Arrays::stream).toArray();
        if (!Arrays.stream(all).allMatch(score -> score < Double.POSITIVE_INFINITY)) {
            throw new RewardException("reward '" + reward.name()
                    + "' scored a base sample with NaN or +infinity: only finite scores and -infinity are allowed");
        }
        return new Calibration(all, seconds / items);
    }

    private static double[] scores(Reward reward, Tensor samples, Condition condition, long from, long count) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            return reward.score(samples.narrow(0, from, count), condition.slice(from, count))
                    .toDoubleArray();
        }
    }

    private DoubleStream finite() {
        return Arrays.stream(sorted, impossible, sorted.length);
    }

    /** Returns the number of scores. */
    public int count() {
        return sorted.length;
    }

    /** Returns the number of scores that are -∞. */
    public int impossible() {
        return impossible;
    }

    /** Returns the mean of the finite scores. */
    public double mean() {
        return mean;
    }

    /** Returns the standard deviation of the finite scores, over n - 1. */
    public double deviation() {
        return deviation;
    }

    /** Returns the seconds per score in a batch. */
    public double secondsPerItem() {
        return secondsPerItem;
    }

    /**
     * Returns a quantile of all scores, interpolated between neighbours.
     *
     * @param probability in [0, 1]: 0 for the smallest score, 0.5 for the median, 1 for the largest
     */
    public double quantile(double probability) {
        Preconditions.checkArgument(
                probability >= 0 && probability <= 1,
                "calibration: the probability of a quantile is %s, expected 0 to 1",
                probability);
        double place = probability * (sorted.length - 1);
        int below = (int) place;
        double rest = place - below;
        // Handle this case, because 0 times infinity would be NaN.
        return rest == 0 ? sorted[below] : sorted[below] * (1 - rest) + sorted[below + 1] * rest;
    }

    /**
     * Returns KL(tilted ‖ base) = λ·E_w[r] - log mean e^λr in nats, over the samples.
     *
     * @param strength λ, finite, from 0
     */
    public double divergence(double strength) {
        requireStrength(strength);
        double total = 0;
        double exponent = 0;
        for (double score : sorted) {
            double log = log(strength, score);
            if (log > Double.NEGATIVE_INFINITY) {
                double weight = Math.exp(log);
                total += weight;
                exponent += weight * log;
            }
        }
        return exponent / total - Math.log(total / sorted.length);
    }

    /**
     * Returns the effective sample size (Σw)² / Σw² as a share of n, in (0, 1].
     *
     * @param strength λ, finite, from 0
     */
    public double effectiveShare(double strength) {
        requireStrength(strength);
        double total = 0;
        double squares = 0;
        for (double score : sorted) {
            double weight = Math.exp(log(strength, score));
            total += weight;
            squares += weight * weight;
        }
        return total * total / squares / sorted.length;
    }

    /** Returns λ·(r - largest r), so that exponentials do not overflow. */
    private double log(double strength, double score) {
        return strength == 0 ? 0 : strength * (score - sorted[sorted.length - 1]);
    }

    private static void requireStrength(double strength) {
        Preconditions.checkArgument(
                strength >= 0 && Double.isFinite(strength),
                "calibration: strength (lambda) is %s, expected a finite number from 0: for the other direction negate"
                        + " the scores",
                strength);
    }

    /**
     * Returns the λ for a divergence of the tilted law from the base.
     *
     * @param divergence KL(tilted ‖ base) in nats, above 0
     * @throws IllegalArgumentException if no λ gives it: for n samples it is below log n
     */
    public double strengthForDivergence(double divergence) {
        double least = Math.log((double) sorted.length / (sorted.length - impossible));
        double most = Math.log((double) sorted.length / best());
        requireReachable("a divergence (KL) of " + divergence, divergence, least, most);
        return solve(this::divergence, divergence);
    }

    /**
     * Returns the λ for an effective sample size of the weights.
     *
     * @param share effective sample size divided by n, below 1
     * @throws IllegalArgumentException if no λ gives it: at least one sample of n remains
     */
    public double strengthForEffectiveShare(double share) {
        double least = (double) best() / sorted.length;
        double most = (double) (sorted.length - impossible) / sorted.length;
        requireReachable("an effective sample size of " + share + " of the samples", share, least, most);
        return solve(strength -> -effectiveShare(strength), -share);
    }

    /** Returns how many samples have the largest score; only these remain for an infinite λ. */
    private int best() {
        double largest = sorted[sorted.length - 1];
        return (int) finite().filter(score -> score == largest).count();
    }

    private void requireReachable(String what, double target, double least, double most) {
        Preconditions.checkArgument(
                target > least && target < most,
                "calibration: %s is not reachable with these %s scores (%s finite, %s equal to the largest): expected"
                        + " more than %s and less than %s: choose a value between, or score more base samples",
                what,
                sorted.length,
                sorted.length - impossible,
                best(),
                least,
                most);
    }

    /** Returns the λ at which an increasing function reaches a target between its limits. */
    private static double solve(DoubleUnaryOperator growing, double target) {
        double high = 1;
        while (growing.applyAsDouble(high) < target && high < Double.MAX_VALUE / 2) {
            high *= 2;
        }
        double low = 0;
        while (true) {
            double middle = low + (high - low) / 2;
            if (middle == low || middle == high) {
                return high;
            }
            if (growing.applyAsDouble(middle) < target) {
                low = middle;
            } else {
                high = middle;
            }
        }
    }
}
