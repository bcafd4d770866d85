package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.metric.Estimate;
import org.metaflowmaps.steering.metric.GaussianStatistics;
import org.metaflowmaps.steering.metric.InceptionScore;

/**
 * What FID and its companions need of a set of images, added batch by batch: moments of both features, and the
 * Inception score. Feature vectors are stored only if asked for; images never are.
 *
 * <p>Memory: groups x 33 MB on the Java heap for each of the network's two features, and 8 KB per stored image. Not
 * thread-safe.
 */
public final class FeatureSet implements AutoCloseable {
    private static final int MOST_GROUPS = 100;

    private final long capacity;
    private final int groups;
    private final boolean stored;
    private final InceptionScore score = new InceptionScore(InceptionScore.USUAL_GROUP);
    private @Nullable GroupedMoments pool;
    private @Nullable GroupedMoments spatial;
    private @Nullable Tensor vectors;
    private long count;

    /**
     * Makes a set without images.
     *
     * @param capacity the number of images to come, at least 1
     * @param groups of the jackknife of Fréchet distances, 1 to 100; 1 for no standard errors
     * @param stored true to keep the vectors for KID, precision and recall
     */
    public FeatureSet(long capacity, int groups, boolean stored) {
        Preconditions.checkArgument(
                capacity >= 1 && groups >= 1 && groups <= MOST_GROUPS,
                "feature set: %s images in %s groups, expected at least 1 of each, and at most %s groups",
                capacity,
                groups,
                MOST_GROUPS);
        this.capacity = capacity;
        this.groups = groups;
        this.stored = stored;
    }

    /**
     * Adds images. Large batches, of about 1,000, are much faster than small ones.
     *
     * @param found their features, of the same widths each time; only read
     * @throws IllegalArgumentException if a width differs, a feature is not finite, or there are more images than the
     *     capacity
     */
    public void add(InceptionFeatures.Found found) {
        long more = found.pool().size(0);
        Preconditions.checkArgument(
                count + more <= capacity,
                "feature set: %s more images after %s, expected %s in all",
                more,
                count,
                capacity);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            if (pool == null) {
                pool = new GroupedMoments(width(found.pool()), groups);
                spatial = found.spatial()
                        .map(tensor -> new GroupedMoments(width(tensor), groups))
                        .orElse(null);
                vectors = stored
                        ? Torch.empty(DType.FLOAT32, Device.CPU, capacity, width(found.pool()))
                                .retain()
                        : null;
            }
            Preconditions.checkArgument(
                    (spatial != null) == found.spatial().isPresent(),
                    "feature set: some images have spatial features, others do not");
            pool.add(found.pool());
            if (spatial != null) {
                spatial.add(found.spatial().orElseThrow());
            }
            score.add(found.logits());
            if (vectors != null) {
                vectors.narrow(0, count, more).copy_(found.pool());
            }
            count += more;
        }
    }

    private static int width(Tensor features) {
        return Math.toIntExact(features.size(1));
    }

    /** Returns the number of images added. */
    public long count() {
        return count;
    }

    /** Returns the numbers per feature vector; 0 before the first image. */
    public int width() {
        return pool == null ? 0 : pool.width();
    }

    /**
     * Returns mean and covariance of the features of FID.
     *
     * @throws IllegalStateException if there are fewer than two images
     */
    public GaussianStatistics pool() {
        return some(pool).gaussian();
    }

    /**
     * Returns mean and covariance of the features of sFID; empty if the network has none.
     *
     * @throws IllegalStateException if there are fewer than two images
     */
    public Optional<GaussianStatistics> spatial() {
        some(pool);
        return Optional.ofNullable(spatial).map(GroupedMoments::gaussian);
    }

    /**
     * Returns the Fréchet distance of the features of FID to a reference.
     *
     * @return with the jackknife's standard error, which does not include the reference's; NaN for one group or few
     *     images
     * @throws IllegalArgumentException if the reference has another width
     * @throws IllegalStateException if there are fewer than two images
     */
    public Estimate frechet(GaussianStatistics reference) {
        return some(pool).frechet(reference);
    }

    /**
     * Returns the Fréchet distance of the features of sFID to a reference, as {@link #frechet} does.
     *
     * @throws IllegalArgumentException if the reference has another width
     * @throws IllegalStateException if there are fewer than two images, or no such features
     */
    public Estimate spatialFrechet(GaussianStatistics reference) {
        return some(spatial).frechet(reference);
    }

    /** Returns the Inception score, in groups of 5,000. */
    public InceptionScore score() {
        return score;
    }

    /**
     * Returns the feature vectors.
     *
     * @return (N, width) float32 on the CPU, a view of this set's memory in the innermost open scope
     * @throws IllegalStateException if they were not stored, or there are no images
     */
    public Tensor vectors() {
        some(pool);
        if (vectors == null) {
            throw new IllegalStateException("feature set: vectors were not stored: make the set with stored = true");
        }
        return vectors.narrow(0, 0, count);
    }

    private static GroupedMoments some(@Nullable GroupedMoments moments) {
        if (moments == null) {
            throw new IllegalStateException("feature set: there are no such features: add some images first");
        }
        return moments;
    }

    /** Frees the stored vectors. Idempotent. */
    @Override
    public void close() {
        if (vectors != null) {
            vectors.close();
            vectors = null;
        }
    }
}
