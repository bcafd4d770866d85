package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;

/**
 * The agreement of estimated values with a truth over noisy states, with standard errors.
 *
 * @param states their number n
 * @param correlation Pearson's r
 * @param error root mean square difference
 * @param bias mean of estimate - truth
 */
public record ValueAgreement(int states, Estimated correlation, Estimated error, Estimated bias) {
    /** A jackknife of fewer values says nothing. */
    private static final int FEWEST = 4;

    /**
     * Compares values of the same states.
     *
     * @param truth one value of each state, finite, not all equal
     * @param estimate as many
     * @throws IllegalArgumentException if there are fewer than 4 states, or not as many estimates
     */
    public static ValueAgreement of(double[] truth, double[] estimate) {
        Preconditions.checkArgument(
                truth.length >= FEWEST && estimate.length == truth.length,
                "value agreement: %s true values and %s estimates, expected as many of each, at least %s",
                truth.length,
                estimate.length,
                FEWEST);
        int count = truth.length;
        return new ValueAgreement(
                count,
                Estimated.of(count, without -> correlation(truth, estimate, without)),
                Estimated.of(count, without -> Math.sqrt(mean(truth, estimate, 2, without))),
                Estimated.of(count, without -> mean(truth, estimate, 1, without)));
    }

    /** Returns the mean of a power of estimate - truth. */
    private static double mean(double[] truth, double[] estimate, int power, int without) {
        double sum = 0;
        int count = 0;
        for (int i = 0; i < truth.length; i++) {
            if (i != without) {
                sum += Math.pow(estimate[i] - truth[i], power);
                count++;
            }
        }
        return sum / count;
    }

    private static double correlation(double[] truth, double[] estimate, int without) {
        double meanTruth = 0;
        double meanEstimate = 0;
        int count = 0;
        for (int i = 0; i < truth.length; i++) {
            if (i != without) {
                meanTruth += truth[i];
                meanEstimate += estimate[i];
                count++;
            }
        }
        meanTruth /= count;
        meanEstimate /= count;
        double both = 0;
        double first = 0;
        double second = 0;
        for (int i = 0; i < truth.length; i++) {
            if (i != without) {
                double x = truth[i] - meanTruth;
                double y = estimate[i] - meanEstimate;
                both += x * y;
                first += x * x;
                second += y * y;
            }
        }
        return both / Math.sqrt(first * second);
    }
}
