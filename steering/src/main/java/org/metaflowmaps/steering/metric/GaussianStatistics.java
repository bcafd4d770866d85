package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import java.util.Arrays;

/**
 * Mean and covariance of features, as published statistics of data sets have them.
 *
 * @param mean (width)
 * @param covariance (width x width), row by row
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record GaussianStatistics(double[] mean, double[] covariance) {
    /** Checks the sizes and copies the arrays. */
    public GaussianStatistics {
        Preconditions.checkArgument(
                mean.length > 0 && covariance.length == (long) mean.length * mean.length,
                "statistics: a mean of width %s with a covariance of %s numbers, expected %s",
                mean.length,
                covariance.length,
                (long) mean.length * mean.length);
        Preconditions.checkArgument(
                Arrays.stream(mean).allMatch(Double::isFinite)
                        && Arrays.stream(covariance).allMatch(Double::isFinite),
                "statistics: a number of mean or covariance is not finite: compute them again");
        mean = mean.clone();
        covariance = covariance.clone();
    }

    /** Returns the numbers per feature vector. */
    public int width() {
        return mean.length;
    }

    /** Returns the mean, in a new array. */
    @Override
    public double[] mean() {
        return mean.clone();
    }

    /** Returns the covariance, in a new array. */
    @Override
    public double[] covariance() {
        return covariance.clone();
    }
}
