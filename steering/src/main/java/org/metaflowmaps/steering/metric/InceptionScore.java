package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.List;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The Inception score (Salimans et al., arXiv 1606.03498): exp of the mean divergence KL(p(y|x) ‖ p(y)) of the class
 * probabilities of images x from their mean, averaged over groups of consecutive images.
 *
 * <p>The order of the images matters: groups should hold all classes alike. Scores grow with the size of the groups, so
 * compare only those of equal groups. Logits are added batch by batch and not stored; sums are float64. Not thread-safe.
 */
public final class InceptionScore {
    /** The group of ADM's evaluator. */
    public static final int USUAL_GROUP = 5000;

    private final int group;
    private final List<Double> scores = new ArrayList<>();
    private double[] sums = new double[0];
    private double negativeEntropy;
    private int filled;
    private long count;

    /**
     * Makes a score without images.
     *
     * @param group images of a group, at least 2; ADM's evaluator has {@link #USUAL_GROUP}
     */
    public InceptionScore(int group) {
        Preconditions.checkArgument(group >= 2, "Inception score: groups of %s images, expected at least 2", group);
        this.group = group;
    }

    /**
     * Adds the next images.
     *
     * @param logits (B, classes) of any floating-point type and device, adding a constant to a row changes nothing; only read
     * @throws IllegalArgumentException if the shape is wrong, or a number is not finite
     */
    public void add(Tensor logits) {
        Preconditions.checkArgument(
                logits.dim() == 2
                        && logits.size(1) > 0
                        && logits.dtype().isFloatingPoint()
                        && (sums.length == 0 || logits.size(1) == sums.length),
                "Inception score: logits are %s, expected floating point of a shape of (B, %s)",
                logits,
                sums.length == 0 ? "classes" : sums.length);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Preconditions.checkArgument(
                    logits.isFinite().all().item() != 0,
                    "Inception score: a logit is not finite, so the images or the network are damaged");
            if (sums.length == 0) {
                sums = new double[Math.toIntExact(logits.size(1))];
            }
            for (long from = 0; from < logits.size(0); ) {
                long size = Math.min(group - filled, logits.size(0) - from);
                try (TensorScope part = TensorScope.open()) {
                    addWithin(logits.narrow(0, from, size).to(DType.FLOAT64));
                }
                from += size;
            }
        }
    }

    /** Adds images of one group. */
    private void addWithin(Tensor logits) {
        Tensor logarithm = logits.logSoftmax(1);
        Tensor probability = logarithm.exp();
        double[] more = probability.sum(0).toDoubleArray();
        for (int i = 0; i < sums.length; i++) {
            sums[i] += more[i];
        }
        negativeEntropy += probability.mul(logarithm).sum().item();
        filled += Math.toIntExact(logits.size(0));
        count += logits.size(0);
        if (filled == group) {
            scores.add(current());
            sums = new double[sums.length];
            negativeEntropy = 0;
            filled = 0;
        }
    }

    /** Returns exp(Σ p log p / n - Σ m log m) of the group being filled, with the mean m of p. */
    private double current() {
        double divergence = negativeEntropy / filled;
        for (double sum : sums) {
            double mean = sum / filled;
            divergence -= mean > 0 ? mean * Math.log(mean) : 0;
        }
        return Math.exp(divergence);
    }

    private double[] all() {
        List<Double> all = new ArrayList<>(scores);
        if (filled > 0) {
            all.add(current());
        }
        if (all.isEmpty()) {
            throw new IllegalStateException("Inception score: there are no images: add some first");
        }
        return all.stream().mapToDouble(Double::doubleValue).toArray();
    }

    /** Returns the number of images. */
    public long count() {
        return count;
    }

    /** Returns the images of the last group if it is smaller than the others, else 0. */
    public int rest() {
        return filled;
    }

    /**
     * Returns the mean over the groups, the last of which may be smaller; each counts alike, as in ADM's evaluator.
     *
     * @return with the standard error from the groups, NaN for one group, and the number of images
     * @throws IllegalStateException if there are no images
     */
    public Estimate mean() {
        Estimate groups = Estimate.mean(all());
        return new Estimate(groups.value(), groups.standardError(), count);
    }

    /**
     * Returns the deviation of the groups' scores, with divisor N, which papers state after a ±.
     *
     * @throws IllegalStateException if there are no images
     */
    public double deviation() {
        return Deviation.of(all());
    }
}
