package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The squared 2-Wasserstein distance of two Gaussians with the means and covariances of two sets of features (Dowson
 * and Landau, 1982; for images Heusel et al., arXiv 1706.08500): |μ - ν|² + tr(A) + tr(B) - 2·tr((A^½·B·A^½)^½).
 *
 * <p>Computed in float64 on the CPU, by eigenvalues of symmetric matrices. A covariance may be singular, as for fewer
 * vectors than their width; negative eigenvalues from rounding count as 0. pytorch-fid's matrix square root of A·B and
 * torch-fidelity's eigenvalues of A·B give the same, up to rounding, while both covariances have full rank; else
 * theirs have imaginary parts, or errors of about 1e-6, because A·B is not symmetric.
 *
 * <p>Estimates from finite sets are too large: two sets of the same law have a distance above 0 that falls about as one
 * over their size. Compare only distances of sets of equal size, and with that floor.
 */
public final class FrechetDistance {
    private final double[] mean;
    private final double trace;
    /** The root of the covariance. */
    private final double[] root;

    /**
     * Prepares the distances to a Gaussian.
     *
     * @param reference mean and covariance
     */
    public FrechetDistance(GaussianStatistics reference) {
        this.mean = Preconditions.checkNotNull(reference, "Fréchet distance: the reference is null")
                .mean();
        int width = mean.length;
        double[] covariance = reference.covariance();
        this.trace = trace(covariance, width);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Torch.Eigen eigen = Torch.linalgEigh(Torch.of(covariance, width, width));
            this.root = eigen.vectors()
                    .mul(eigen.values().clampMin(0).sqrt())
                    .matmul(eigen.vectors().transpose(0, 1))
                    .toDoubleArray();
        }
    }

    /**
     * Returns the distance of two sets.
     *
     * @param first at least two vectors
     * @param second of the same width, at least two
     * @return 0 or more
     * @throws IllegalArgumentException if the widths differ
     * @throws IllegalStateException if a set has fewer than two vectors
     */
    public static double between(FeatureMoments first, FeatureMoments second) {
        return between(first.statistics(), second.statistics());
    }

    /**
     * Returns the distance of two Gaussians.
     *
     * @param first mean and covariance
     * @param second of the same width
     * @return 0 or more
     * @throws IllegalArgumentException if the widths differ
     */
    public static double between(GaussianStatistics first, GaussianStatistics second) {
        return new FrechetDistance(first).to(second);
    }

    /**
     * Returns the distance of another Gaussian to the reference.
     *
     * @param other of the same width
     * @return 0 or more
     * @throws IllegalArgumentException if the widths differ
     */
    public double to(GaussianStatistics other) {
        int width = mean.length;
        Preconditions.checkArgument(
                width == other.width(),
                "Fréchet distance: features of widths %s and %s cannot be compared",
                width,
                other.width());
        double[] otherMean = other.mean();
        double[] otherCovariance = other.covariance();
        double distance = trace + trace(otherCovariance, width);
        for (int i = 0; i < width; i++) {
            distance += (mean[i] - otherMean[i]) * (mean[i] - otherMean[i]);
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor half = Torch.of(root, width, width);
            Tensor product =
                    half.matmul(Torch.of(otherCovariance, width, width)).matmul(half);
            // Make it symmetric: rounding leaves small differences, and only one triangle is read.
            Tensor symmetric = product.add(product.transpose(0, 1)).mul(0.5);
            distance -=
                    2 * Torch.linalgEigvalsh(symmetric).clampMin(0).sqrt().sum().item();
        }
        return Math.max(0, distance);
    }

    private static double trace(double[] matrix, int width) {
        double trace = 0;
        for (int i = 0; i < width; i++) {
            trace += matrix[i * width + i];
        }
        return trace;
    }
}
