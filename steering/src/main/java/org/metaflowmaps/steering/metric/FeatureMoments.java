package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Count, mean and covariance of feature vectors, added batch by batch and not stored.
 *
 * <p>Batches are merged by their own means and scatters in float64 (Chan, Golub and LeVeque, 1979), so that a mean far
 * from zero costs no accuracy. On the Java heap; not thread-safe.
 */
public final class FeatureMoments {
    /** A covariance of this width takes 2 GiB. */
    private static final int MOST = 1 << 14;

    private final double[] mean;
    private final double[] scatter;
    private long count;

    /**
     * Makes empty moments.
     *
     * @param width numbers per feature vector, 1 to 16,384
     */
    public FeatureMoments(int width) {
        Preconditions.checkArgument(
                width >= 1 && width <= MOST, "feature moments: a width of %s, expected 1 to %s", width, MOST);
        this.mean = new double[width];
        this.scatter = new double[width * width];
    }

    /**
     * Adds a batch.
     *
     * @param features (B, width) of any floating-point type and device; only read
     * @throws IllegalArgumentException if the shape is wrong, or a number is not finite
     */
    public void add(Tensor features) {
        int width = mean.length;
        Preconditions.checkArgument(
                features.dim() == 2 && features.size(1) == width,
                "feature moments: features are %s, expected a shape of (B, %s)",
                features,
                width);
        long more = features.size(0);
        if (more == 0) {
            return;
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor exact = features.detach().to(DType.FLOAT64);
            Tensor centre = exact.meanKeepDim(0);
            double[] other = centre.toDoubleArray();
            for (double value : other) {
                Preconditions.checkArgument(
                        Double.isFinite(value),
                        "feature moments: a feature is not finite, so the images are not: the samples have diverged");
            }
            Tensor centred = exact.sub(centre);
            Tensor spread =
                    centred.transpose(0, 1).matmul(centred).to(Device.CPU).contiguous();
            merge(more, other, spread.segment());
        }
    }

    /**
     * Adds the vectors of other moments.
     *
     * @param other of the same width; not changed
     * @throws IllegalArgumentException if the widths differ
     */
    public void add(FeatureMoments other) {
        Preconditions.checkArgument(
                other.mean.length == mean.length,
                "feature moments: moments of width %s, expected %s",
                other.mean.length,
                mean.length);
        if (other.count > 0) {
            merge(other.count, other.mean.clone(), MemorySegment.ofArray(other.scatter));
        }
    }

    /** Merges moments; changes {@code other}, the mean. */
    private void merge(long more, double[] other, MemorySegment spread) {
        int width = mean.length;
        long total = count + more;
        for (int i = 0; i < width; i++) {
            other[i] -= mean[i];
        }
        double between = (double) count * more / total;
        for (int i = 0; i < width; i++) {
            for (int j = 0; j < width; j++) {
                scatter[i * width + j] += spread.getAtIndex(ValueLayout.JAVA_DOUBLE, (long) i * width + j)
                        + between * other[i] * other[j];
            }
        }
        for (int i = 0; i < width; i++) {
            mean[i] += other[i] * more / total;
        }
        count = total;
    }

    /** Returns the number of feature vectors added. */
    public long count() {
        return count;
    }

    /** Returns the numbers per feature vector. */
    public int width() {
        return mean.length;
    }

    /** Returns the mean, in a new array. */
    public double[] mean() {
        return mean.clone();
    }

    /**
     * Returns the unbiased covariance, row by row, in a new array.
     *
     * @throws IllegalStateException if fewer than two vectors were added
     */
    public double[] covariance() {
        if (count < 2) {
            throw new IllegalStateException("a covariance needs at least 2 feature vectors, " + count + " were added");
        }
        double[] covariance = scatter.clone();
        for (int i = 0; i < covariance.length; i++) {
            covariance[i] /= count - 1;
        }
        return covariance;
    }

    /**
     * Returns mean and covariance.
     *
     * @throws IllegalStateException if fewer than two vectors were added
     */
    public GaussianStatistics statistics() {
        return new GaussianStatistics(mean, covariance());
    }
}
