package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.util.function.UnaryOperator;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.SampleResult;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.PosteriorEvaluation;
import org.metaflowmaps.steering.metric.FeatureMoments;
import org.metaflowmaps.steering.metric.FrechetDistance;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;

/**
 * The Fréchet distance between posterior samples and real images (method §12B): N real images are noised to a time t,
 * one sample is drawn from each posterior, and the {@link FrechetDistance} of features is computed.
 *
 * <p>A perfect sampler's draws from noised real images have the data's law at every t. They are compared with two sets:
 * the noised images, and as many others. The larger t is, the more samples resemble the noised images, so that distance
 * is smaller than for independent sets. The distance to the others has the same floor at every t, {@link #floor}. All
 * samplers and times use the same noise.
 */
public final class PosteriorFrechet {
    private static final int CHUNK = 250;

    private final FashionClassifier classifier;
    private final LabelledImages images;
    private final int count;
    private final UnaryOperator<Condition> given;
    private final long seed;
    private final Device device;
    private final FeatureMoments noised;
    private final FeatureMoments others;

    /**
     * A sampler's distances at a time.
     *
     * @param toNoised distance to the noised images, as in published numbers
     * @param toOthers distance to as many other images; {@link #floor} for a perfect sampler, up to chance
     * @param evaluations network evaluations for each draw
     */
    public record Distances(double toNoised, double toOthers, long evaluations) {}

    /**
     * Computes the features of the real images.
     *
     * @param classifier computes the features, not owned
     * @param images Fashion-MNIST images that were not used for training
     * @param count N: the first N images are noised, the next N are the others; at least 2
     * @param given makes the samplers' condition of one with the images' classes: it may drop the labels, or add guidance
     * @param device the classifier's device
     * @param seed of all noise
     */
    public PosteriorFrechet(
            FashionClassifier classifier,
            LabelledImages images,
            int count,
            UnaryOperator<Condition> given,
            Device device,
            long seed) {
        Preconditions.checkArgument(
                count >= 2 && count <= images.count() / 2,
                "posterior Fréchet distance: %s images, expected 2 to %s: as many others " + "are compared with",
                count,
                images.count() / 2);
        this.classifier = classifier;
        this.images = images;
        this.count = count;
        this.given = Preconditions.checkNotNull(given, "posterior Fréchet distance: the condition's function is null");
        this.device = device;
        this.seed = seed;
        this.noised = moments(0);
        this.others = moments(count);
    }

    private FeatureMoments moments(int first) {
        FeatureMoments moments = new FeatureMoments(FashionClassifier.FEATURES);
        for (int from = first; from < first + count; from += CHUNK) {
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.inference()) {
                moments.add(classifier.features(
                        ImageData.items(images, from, Math.min(first + count, from + CHUNK), device)));
            }
        }
        return moments;
    }

    /** Returns the distance of the N noised images to the N others, which a perfect sampler would reach. */
    public double floor() {
        return FrechetDistance.between(noised, others);
    }

    /**
     * Computes a sampler's distances.
     *
     * @param sampler a sampler of images (B, 1, 28, 28), such as a posterior sampler or a GLASS sampler
     * @param time t in [0, 1]
     * @throws IllegalArgumentException if the time is out of range, or samples are not finite
     */
    public Distances of(Sampler<Context> sampler, double time) {
        Preconditions.checkArgument(
                time >= 0 && time <= 1, "posterior Fréchet distance: time %s, expected 0 to 1", time);
        FeatureMoments drawn = new FeatureMoments(FashionClassifier.FEATURES);
        long evaluations = 0;
        try (RandomSource random = RandomSource.seeded(seed, device)) {
            for (int from = 0; from < count; from += CHUNK) {
                try (TensorScope scope = TensorScope.open();
                        Autograd.Mode off = Autograd.inference()) {
                    int to = Math.min(count, from + CHUNK);
                    Condition condition = given.apply(Condition.labelled(ImageData.labels(images, from, to, device)));
                    Context context = PosteriorEvaluation.noised(
                            ImageData.items(images, from, to, device), condition, time, random);
                    SampleResult result =
                            sampler.sample(Noise.of(random, context.state().shape()), context);
                    drawn.add(classifier.features(result.samples()));
                    evaluations = Math.max(evaluations, result.evaluations());
                }
            }
        }
        return new Distances(
                FrechetDistance.between(noised, drawn), FrechetDistance.between(others, drawn), evaluations);
    }
}
