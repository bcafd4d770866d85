package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import java.util.List;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, Eq. 3) under a mean of Gaussian
 * kernels exp(-|x-y|² / (2h²)). For samples of the same law it has mean 0, so about half of its values are negative.
 *
 * <p>The widths h are fixed multiples of a scale: the median distance of distinct points of a reference sample (median
 * heuristic), which does not depend on the evaluated sample.
 *
 * @param multiples multiples of the scale, one kernel each, at least one, above 0
 */
public record MaximumMeanDiscrepancy(List<Double> multiples) {
    /** Checks the multiples. */
    public MaximumMeanDiscrepancy {
        Preconditions.checkArgument(
                !multiples.isEmpty() && multiples.stream().allMatch(multiple -> multiple > 0),
                "MMD: kernel widths are %s times the scale, expected at least one, all above 0",
                multiples);
        multiples = List.copyOf(multiples);
    }

    /** Uses widths of 1/4, 1/2, 1, 2 and 4 times the scale. */
    public MaximumMeanDiscrepancy() {
        this(List.of(0.25, 0.5, 1.0, 2.0, 4.0));
    }

    /**
     * Returns the median distance of distinct points in each group, the lower of two.
     *
     * @param samples (groups, n, d), n at least 2
     * @return (groups) float64, in the innermost open scope
     */
    public static Tensor scale(Tensor samples) {
        Samples.check("MMD", samples, samples, 2);
        long groups = samples.size(0);
        long n = samples.size(1);
        try (TensorScope scope = TensorScope.open()) {
            Tensor points = samples.to(DType.FLOAT64);
            // Sorted, the n distances of points to themselves come first, then every pair twice.
            Tensor sorted = squaredDistances(points, points)
                    .reshape(groups, n * n)
                    .sort(1)
                    .values();
            long middle = n + (n * (n - 1) - 1) / 2;
            return scope.keep(sorted.select(1, middle).clampMin(0).sqrt());
        }
    }

    /**
     * Returns the squared discrepancy of each pair of samples.
     *
     * @param first (groups, n, d), floating point, n at least 2
     * @param second of the same shape
     * @param scale (groups) from {@link #scale}, above 0
     * @return (groups) float64, in the innermost open scope
     */
    public Tensor squared(Tensor first, Tensor second, Tensor scale) {
        Samples.check("MMD", first, second, 2);
        double n = first.size(1);
        try (TensorScope scope = TensorScope.open()) {
            Tensor left = first.to(DType.FLOAT64);
            Tensor right = second.to(DType.FLOAT64);
            Tensor rate = scale.to(DType.FLOAT64).square().mul(-2).reciprocal().reshape(first.size(0), 1, 1);
            // Subtract n from each sum within a sample, because a point's kernel with itself is 1.
            Tensor within = kernels(left, left, rate)
                    .add(kernels(right, right, rate))
                    .sub(2 * n)
                    .div(n * (n - 1));
            return scope.keep(within.sub(kernels(left, right, rate).mul(2 / (n * n))));
        }
    }

    /** Returns Σ_ij k(x_i, y_j) of each group, averaged over the kernels. */
    private Tensor kernels(Tensor left, Tensor right, Tensor rate) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor exponent = squaredDistances(left, right).mul(rate);
            Tensor sum = exponent.div(multiples.getFirst() * multiples.getFirst())
                    .exp()
                    .sum(1, 2);
            for (double multiple : multiples.subList(1, multiples.size())) {
                sum = sum.add(exponent.div(multiple * multiple).exp().sum(1, 2));
            }
            return scope.keep(sum.div(multiples.size()));
        }
    }

    private static Tensor squaredDistances(Tensor left, Tensor right) {
        Tensor sizes =
                left.square().sumKeepDim(2).add(right.square().sumKeepDim(2).transpose(1, 2));
        return sizes.sub(left.matmul(right.transpose(1, 2)).mul(2)).clampMin(0);
    }
}
