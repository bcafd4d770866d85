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
import org.metaflowmaps.steering.metric.ClassHistogram;
import org.metaflowmaps.steering.metric.Diversity;
import org.metaflowmaps.steering.metric.Estimate;
import org.metaflowmaps.steering.metric.GaussianStatistics;
import org.metaflowmaps.steering.reward.ImageClassifier;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;

/**
 * Statistics of a set of images: moments of features for the Fréchet distance, a histogram of the classes that a judge
 * sees, and the diversity within each class. Images are added batch by batch and not stored.
 *
 * <p>Images are rounded to 256 levels first, because the real images of public statistics are 8-bit files. Not
 * thread-safe.
 */
public final class SampleStatistics {
    private static final int CHUNK = 250;
    /** Groups of the jackknife of the Fréchet distance. */
    private static final int GROUPS = 10;
    /** Wider features have one group, because memory grows as the square of the width. */
    private static final int WIDEST_GROUPED = 512;

    private static final double LEVELS = 255;

    private final ImageFeatures features;
    private final @Nullable ImageClassifier judge;
    private final int classes;
    private final ClassHistogram histogram;
    private @Nullable GroupedMoments moments;
    private @Nullable Diversity diversity;
    private long count;
    private long labelled;
    private long agreed;

    /**
     * Makes statistics without images.
     *
     * @param features computes the features, not owned
     * @param judge sees the classes, not owned; empty for no histogram
     * @param classes at least 1; those of the judge, if there is one
     */
    public SampleStatistics(ImageFeatures features, Optional<ImageClassifier> judge, int classes) {
        this.features = Preconditions.checkNotNull(features, "sample statistics: the features are null");
        this.judge = judge.orElse(null);
        this.classes = classes;
        this.histogram = new ClassHistogram(classes);
    }

    /**
     * Adds images.
     *
     * @param images (B, C, H, W) in [0, 1], of any floating-point type, on the device of features and judge; values
     *     beyond are clipped
     * @param labels (B) int64, the classes of the diversity; if empty, the judge's, and one class without judge
     * @throws IllegalArgumentException if a shape or a label is wrong, or a feature is not finite
     */
    public void add(Tensor images, Optional<Tensor> labels) {
        Preconditions.checkArgument(
                images.dim() == 4 && images.dtype().isFloatingPoint(),
                "sample statistics: images are %s, expected floating point of a shape of (B, C, H, W)",
                images);
        if (images.size(0) == 0) {
            return;
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor levels = images.to(DType.FLOAT32)
                    .clampMin(0)
                    .clampMax(1)
                    .mul(LEVELS)
                    .add(0.5)
                    .floor()
                    .div(LEVELS);
            Tensor found = features.of(levels);
            Tensor seen = judge == null ? null : judge.classify(levels).argmax(1);
            Tensor group =
                    labels.orElse(seen == null ? Torch.zeros(DType.INT64, images.device(), images.size(0)) : seen);
            int width = Math.toIntExact(found.size(1));
            if (diversity == null || moments == null) {
                diversity = new Diversity(classes, width);
                moments = new GroupedMoments(width, width <= WIDEST_GROUPED ? GROUPS : 1);
            }
            diversity.add(found, group);
            if (seen != null) {
                histogram.add(seen);
                if (labels.isPresent()) {
                    labelled += seen.size(0);
                    agreed += Math.round(seen.eq(group).to(DType.FLOAT32).sum().item());
                }
            }
            moments.add(found);
            count += found.size(0);
        }
    }

    /**
     * Adds real images with their labels.
     *
     * @param images the data set
     * @param from the first image
     * @param to after the last image
     * @param device of features and judge
     */
    public void add(LabelledImages images, int from, int to, Device device) {
        for (int first = from; first < to; first += CHUNK) {
            try (TensorScope scope = TensorScope.open()) {
                int last = Math.min(to, first + CHUNK);
                add(
                        ImageData.items(images, first, last, device).add(1).div(2),
                        Optional.of(ImageData.labels(images, first, last, device)));
            }
        }
    }

    /** Returns the number of images. */
    public long count() {
        return count;
    }

    /** Returns the judged classes; empty without judge. */
    public Optional<ClassHistogram> histogram() {
        return judge == null ? Optional.empty() : Optional.of(histogram);
    }

    /** Returns the share of labelled images that the judge sees as their label; empty without judge or labels. */
    public Optional<Estimate> agreement() {
        if (labelled == 0) {
            return Optional.empty();
        }
        double share = (double) agreed / labelled;
        return Optional.of(new Estimate(share, Math.sqrt(share * (1 - share) / labelled), labelled));
    }

    /**
     * Returns the diversity within classes.
     *
     * @throws IllegalStateException if there are no images
     */
    public Diversity diversity() {
        if (diversity == null) {
            throw new IllegalStateException("sample statistics: there are no images: add some first");
        }
        return diversity;
    }

    /**
     * Returns mean and covariance of the features.
     *
     * @throws IllegalStateException if there are fewer than two images
     */
    public GaussianStatistics gaussian() {
        return moments().gaussian();
    }

    /**
     * Returns the Fréchet distance to a reference. It is too large by about a constant over {@link #count}: compare
     * sets of equal size.
     *
     * @param reference of the same features
     * @return with the jackknife's standard error, which does not include the reference's; NaN for wide features
     * @throws IllegalStateException if there are fewer than two images
     */
    public Estimate frechet(GaussianStatistics reference) {
        return moments().frechet(reference);
    }

    private GroupedMoments moments() {
        if (moments == null) {
            throw new IllegalStateException("sample statistics: there are no images: add some first");
        }
        return moments;
    }
}
