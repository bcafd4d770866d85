package org.metaflowmaps.steering.evaluation;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.evaluation.FrontierResult.Estimate;

/** The mean distance of pairs of samples. */
final class Diversity {
    private Diversity() {}

    /**
     * Returns the mean over pairs of the root mean squared difference, with the jackknife's standard error.
     *
     * @param samples (n, item shape), clamped to [-1, 1]; differences are those in [0, 1]
     */
    static Estimate of(Tensor samples) {
        int n = Math.toIntExact(samples.size(0));
        if (n < 2) {
            return new Estimate(Double.NaN, Double.NaN, n);
        }
        double[] sums = sums(samples);
        double total = Arrays.stream(sums).sum();
        double mean = total / ((double) n * (n - 1));
        if (n == 2) {
            return new Estimate(mean, Double.NaN, n);
        }
        List<double[]> without = new ArrayList<>();
        for (double sum : sums) {
            without.add(new double[] {(total - 2 * sum) / ((n - 1.0) * (n - 2.0))});
        }
        return new Estimate(mean, SubsetStatistics.jackknife(without, 0), n);
    }

    /** Returns the sum of each sample's distances to all. */
    private static double[] sums(Tensor samples) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor points = samples.to(DType.FLOAT64)
                    .reshape(samples.size(0), -1)
                    .clampMin(-1)
                    .clampMax(1)
                    .div(2);
            double[] sums = new double[Math.toIntExact(points.size(0))];
            for (int i = 0; i < sums.length; i++) {
                try (TensorScope inner = TensorScope.open()) {
                    sums[i] = points.sub(points.narrow(0, i, 1))
                            .square()
                            .mean(1)
                            .sqrt()
                            .sum()
                            .item();
                }
            }
            return sums;
        }
    }
}
