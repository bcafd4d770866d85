package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.SampleResult;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.PosteriorEvaluation;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;

/**
 * How far posterior samples are from real images as a set (method §12B): N real images are noised to a time t, one sample is
 * drawn of each one's posterior, and the {@link FrechetDistance} of the clean images' features is taken.
 *
 * <p>Noising real images and drawing them anew by a perfect sampler gives images of the data's own law, at every t. They are
 * compared with two sets: the images that were noised, and as many others. Samples and the images that were noised resemble each
 * other the more, the larger t is, so their distance shrinks below what independent sets have; the distance to the others has the
 * same floor at every t, {@link #floor}. All samplers and times see the same noises.
 */
public final class PosteriorFrechet {
    private static final int CHUNK = 250;

    private final FashionClassifier classifier;
    private final LabelledImages images;
    private final int count;
    private final boolean labelled;
    private final @Nullable Double guidance;
    private final long seed;
    private final Device device;
    private final FeatureMoments noised;
    private final FeatureMoments others;

    /**
     * A sampler's distances at a time.
     *
     * @param toNoised to the images that were noised, as published figures are
     * @param toOthers to as many other images; a perfect sampler's is {@link #floor} but for chance
     * @param evaluations network evaluations for each draw
     */
    public record Distances(double toNoised, double toOthers, long evaluations) {}

    /**
     * Features of the real images.
     *
     * @param classifier gives the features, not owned
     * @param images Fashion-MNIST, not trained on
     * @param count N: the first N images are noised, the next N are the others; at least 2
     * @param labelled whether samplers are told the images' classes
     * @param guidance amortised guidance scale w that samplers are told, or null for none
     * @param device where to compute, the classifier's
     * @param seed of all noise
     */
    public PosteriorFrechet(
            FashionClassifier classifier,
            LabelledImages images,
            int count,
            boolean labelled,
            @Nullable Double guidance,
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
        this.labelled = labelled;
        this.guidance = guidance;
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

    /** The distance of the N images that are noised to the N others: what a perfect sampler would have. */
    public double floor() {
        return FrechetDistance.between(noised, others);
    }

    /**
     * A sampler's distances.
     *
     * @param sampler of images (B, 1, 28, 28), such as a posterior sampler or a GLASS sampler
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
                    Condition condition = labelled
                            ? Condition.labelled(ImageData.labels(images, from, to, device))
                            : Condition.none();
                    if (guidance != null) {
                        condition = condition.guided(Torch.full(guidance, DType.FLOAT32, device, to - from));
                    }
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
