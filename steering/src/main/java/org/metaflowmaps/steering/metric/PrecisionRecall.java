package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Improved precision and recall of samples (Kynkäänniemi et al., arXiv 1904.06991). The manifold of a set is the union
 * of balls around its feature vectors that reach to the k-th nearest other vector of the set.
 *
 * <p>Distances are float64. ADM's evaluator computes them in float16, and differs by up to about 0.003.
 *
 * @param precision the share of samples inside the reference's manifold
 * @param recall the share of reference images inside the samples' manifold
 */
public record PrecisionRecall(Estimate precision, Estimate recall) {
    /** The neighbours of ADM's evaluator. */
    public static final int USUAL_NEIGHBOURS = 3;

    /**
     * Computes both, block by block: memory does not grow as the product of the sets' sizes.
     *
     * @param samples (N, width), floating point, on any device; copied by blocks
     * @param reference (M, width), likewise
     * @param neighbours k, at least 1 and less than N and M
     * @param device computes the distances
     * @return with binomial standard errors, which treat both manifolds as given
     * @throws IllegalArgumentException if a shape is wrong, a set has too few vectors, or a number is not finite
     */
    public static PrecisionRecall of(Tensor samples, Tensor reference, int neighbours, Device device) {
        Preconditions.checkNotNull(device, "precision and recall: the device is null");
        return of(samples, reference, neighbours, new DistanceBlocks(device));
    }

    static PrecisionRecall of(Tensor samples, Tensor reference, int neighbours, DistanceBlocks blocks) {
        Preconditions.checkArgument(neighbours >= 1, "precision and recall: k is %s, expected at least 1", neighbours);
        FeatureRows.check("precision and recall", samples, reference, neighbours + 1);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            // Copy once, because each block of rows is compared with all vectors.
            Tensor drawn = samples.to(blocks.device());
            Tensor real = reference.to(blocks.device());
            Tensor own = blocks.radii(drawn, neighbours);
            Tensor others = blocks.radii(real, neighbours);
            Preconditions.checkArgument(
                    own.sum().add(others.sum()).isFinite().item() != 0,
                    "precision and recall: a feature is not finite, so the images or the network are damaged");
            Tensor[] margins = blocks.margins(drawn, own, real, others);
            return new PrecisionRecall(share(margins[0]), share(margins[1]));
        }
    }

    private static Estimate share(Tensor margins) {
        double[] values = margins.toDoubleArray();
        double share =
                (double) Arrays.stream(values).filter(value -> value >= 0).count() / values.length;
        return new Estimate(share, Math.sqrt(share * (1 - share) / values.length), values.length);
    }
}
