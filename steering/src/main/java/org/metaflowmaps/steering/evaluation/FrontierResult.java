package org.metaflowmaps.steering.evaluation;

import java.util.List;

/**
 * What {@link SteeringFrontier} measured of a cell. Standard errors are jackknife's: of the mean of n independent samples
 * they are the usual ones.
 *
 * @param cell the method and its setting
 * @param evaluations network evaluations per image, counted as in the paper (method §8.4)
 * @param time of drawing, per image, without judging
 * @param reward mean of log Σ wᵢ·p(yᵢ|x) by the reward's classifier
 * @param judge the same by the judge
 * @param agreement share of images to which the judge gives the class that the reward's classifier gives
 * @param distance L2 distance between the histogram of the judge's classes and w, as in the paper. The chance of n
 *     samples makes it larger
 * @param corrected the distance without that chance: √max(0, D² - Σ variances of the shares)
 * @param diversity mean over pairs of images of the root mean squared difference of pixels in [0, 1]
 * @param histogram share of each of the judge's classes
 */
public record FrontierResult(
        FrontierCell cell,
        long evaluations,
        Time time,
        Estimate reward,
        Estimate judge,
        Estimate agreement,
        Estimate distance,
        double corrected,
        Estimate diversity,
        List<Double> histogram) {
    /** Copies the histogram. */
    public FrontierResult {
        histogram = List.copyOf(histogram);
    }

    /**
     * A time in seconds.
     *
     * @param elapsed from begin to end
     * @param processor of all threads on the CPU, which does not depend on what else the machine does; NaN if unknown or
     *     on another device
     */
    public record Time(double elapsed, double processor) {
        /** Returns this time multiplied. */
        Time times(double factor) {
            return new Time(factor * elapsed, factor * processor);
        }
    }

    /**
     * An estimate with its standard error.
     *
     * @param value NaN if there are too few samples
     * @param error NaN if there are too few samples for one
     * @param n samples that it is from; for best-of-N's means those of the pool
     */
    public record Estimate(double value, double error, int n) {}
}
