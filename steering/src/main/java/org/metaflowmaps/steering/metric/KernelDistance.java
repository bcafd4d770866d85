package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import java.util.SplittableRandom;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The kernel Inception distance (Bińkowski et al., arXiv 1801.01401): the unbiased estimate of the squared maximum mean
 * discrepancy under the kernel (x·y / width + 1)³, averaged over random subsets. Its mean does not depend on the number
 * of images, and is 0 for sets of the same law; so a value may be negative.
 *
 * @param subsets the number of subsets, at least 1
 * @param size images of a subset from each set, at least 2; all if a set has fewer
 * @param seed of the choice
 */
public record KernelDistance(int subsets, int size, long seed) {
    /** Checks the numbers. */
    public KernelDistance {
        Preconditions.checkArgument(
                subsets >= 1 && size >= 2,
                "KID: %s subsets of %s images, expected at least 1 subset of at least 2",
                subsets,
                size);
    }

    /** Uses 100 subsets of 1,000 images, as public evaluators do. */
    public KernelDistance() {
        this(100, 1000, 1);
    }

    /**
     * The result.
     *
     * @param mean over the subsets
     * @param deviation of the subsets' values, with divisor N, which papers state after a ±; subsets overlap, so it is
     *     not the error of the mean
     * @param subsets their number: 1 if both sets are used whole
     * @param size images of a subset from each set
     */
    public record Result(double mean, double deviation, int subsets, int size) {}

    /**
     * Computes the distance.
     *
     * @param first (N, width), floating point, N at least 2, on any device; only a subset is copied at a time
     * @param second (M, width), likewise
     * @param device computes, in float64
     * @throws IllegalArgumentException if a shape is wrong, or a number is not finite
     */
    public Result between(Tensor first, Tensor second, Device device) {
        FeatureRows.check("KID", first, second, 2);
        Preconditions.checkNotNull(device, "KID: the device is null");
        int drawn = (int) Math.min(size, Math.min(first.size(0), second.size(0)));
        boolean whole = drawn == first.size(0) && drawn == second.size(0);
        double[] values = new double[whole ? 1 : subsets];
        SplittableRandom random = new SplittableRandom(seed);
        for (int i = 0; i < values.length; i++) {
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                values[i] = squared(
                        chosen(first, drawn, random).to(device),
                        chosen(second, drawn, random).to(device));
            }
            Preconditions.checkArgument(
                    Double.isFinite(values[i]),
                    "KID: a feature is not finite, so the images or the network are damaged");
        }
        double mean = 0;
        for (double value : values) {
            mean += value / values.length;
        }
        return new Result(mean, Deviation.of(values), values.length, drawn);
    }

    /** Returns some different rows, or all in order. */
    private static Tensor chosen(Tensor rows, int count, SplittableRandom random) {
        int all = Math.toIntExact(rows.size(0));
        if (count == all) {
            return rows;
        }
        int[] order = new int[all];
        for (int i = 0; i < all; i++) {
            order[i] = i;
        }
        long[] first = new long[count];
        for (int i = 0; i < count; i++) {
            int other = random.nextInt(i, all);
            first[i] = order[other];
            order[other] = order[i];
        }
        return rows.indexSelect(0, Torch.of(first).to(rows.device()));
    }

    /** Returns the unbiased estimate from all rows. */
    private static double squared(Tensor first, Tensor second) {
        Tensor left = first.to(DType.FLOAT64);
        Tensor right = second.to(DType.FLOAT64);
        double n = left.size(0);
        double m = right.size(0);
        return within(left) / (n * (n - 1)) + within(right) / (m * (m - 1)) - 2 * kernel(left, right) / (n * m);
    }

    /** Returns Σ k(x_i, x_j) over i ≠ j. */
    private static double within(Tensor rows) {
        double own = cubed(rows.square().sum(1), (double) rows.size(1));
        return kernel(rows, rows) - own;
    }

    private static double kernel(Tensor left, Tensor right) {
        return cubed(left.matmul(right.transpose(0, 1)), (double) left.size(1));
    }

    private static double cubed(Tensor products, double width) {
        return products.div(width).add(1).pow(3).sum().item();
    }
}
