package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The sliced Wasserstein-2 distance of equally large samples: the root of the mean squared W2 distance of projections
 * on fixed random directions, computed exactly by sorting (Bonneel et al. 2015). In one dimension it equals W2.
 *
 * <p>It compares the two samples, not their laws: two samples of the same law have a distance that shrinks with their
 * size.
 */
public final class SlicedWasserstein implements AutoCloseable {
    /** (directions, d), rows of length 1, float64. */
    private final Tensor directions;

    /**
     * Draws directions, uniform on the sphere; in one dimension there is only one.
     *
     * @param dimension of the samples, at least 1
     * @param count of directions, at least 1
     * @param seed determines them
     * @param device the device of the samples
     */
    public SlicedWasserstein(int dimension, int count, long seed, Device device) {
        Preconditions.checkArgument(
                dimension >= 1 && count >= 1,
                "sliced Wasserstein: %s directions in %s dimensions, expected at least 1 of each",
                count,
                dimension);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(seed)) {
            Tensor drawn = dimension == 1 ? Torch.onesLike(Torch.zeros(1, 1)) : random.normal(count, dimension);
            Tensor wide = drawn.to(DType.FLOAT64);
            directions = wide.div(wide.square().sumKeepDim(1).sqrt()).to(device).retain();
        }
    }

    /**
     * Returns the distance of each pair of samples.
     *
     * @param first (groups, n, d), floating point
     * @param second of the same shape
     * @return (groups) float64, in the innermost open scope
     */
    public Tensor distances(Tensor first, Tensor second) {
        Samples.check("sliced Wasserstein", first, second, 1);
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(between(projected(first), projected(second)));
        }
    }

    /**
     * Projects and sorts samples, to compare one set with several.
     *
     * @param samples (groups, n, d), floating point
     * @return (groups, directions, n) float64, in the innermost open scope
     */
    public Tensor projected(Tensor samples) {
        Preconditions.checkArgument(
                samples.dim() == 3 && samples.size(2) == directions.size(1),
                "sliced Wasserstein: samples are %s, expected a shape of (groups, n, %s)",
                samples,
                directions.size(1));
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(directions
                    .matmul(samples.to(DType.FLOAT64).transpose(1, 2))
                    .sort(2)
                    .values());
        }
    }

    /**
     * Returns the distance of each pair of samples that {@link #projected} prepared.
     *
     * @param first (groups, directions, n) float64
     * @param second of the same shape
     * @return (groups) float64, in the innermost open scope
     */
    public static Tensor between(Tensor first, Tensor second) {
        Samples.check("sliced Wasserstein", first, second, 1);
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(first.sub(second).square().mean(1, 2).sqrt());
        }
    }

    @Override
    public void close() {
        directions.close();
    }
}
