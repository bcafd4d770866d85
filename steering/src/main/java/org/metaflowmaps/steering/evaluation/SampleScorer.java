package org.metaflowmaps.steering.evaluation;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.reward.ClassMixture;
import org.metaflowmaps.steering.reward.ImageClassifier;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.steering.reward.Tilt;

/** Scores samples by the class mixture of the reward's classifier and of the judge. */
final class SampleScorer implements AutoCloseable {
    private static final long CHUNK = 256;

    private final PixelDecoder decoder = new PixelDecoder();
    private final ImageClassifier classifier;
    private final ImageClassifier judge;
    private final ClassMixture reward;
    private final ClassMixture other;
    private final double strength;
    private final Device device;

    SampleScorer(ImageClassifier classifier, ImageClassifier judge, FrontierSettings settings, Device device) {
        double[] weights = settings.target();
        this.classifier = classifier;
        this.judge = judge;
        this.reward = new ClassMixture(classifier, weights, device);
        this.other = new ClassMixture(judge, weights, device);
        this.strength = settings.strength();
        this.device = device;
    }

    /** Returns the tilt by the reward. */
    Tilt tilt() {
        return new Tilt(reward, decoder, strength);
    }

    /** Scores samples (N, C, H, W) in [-1, 1]. */
    SampleScores of(Tensor samples) {
        List<SampleScores> parts = new ArrayList<>();
        for (long from = 0; from < samples.size(0); from += CHUNK) {
            parts.add(chunk(samples.narrow(0, from, Math.min(CHUNK, samples.size(0) - from))));
        }
        return SampleScores.joined(parts);
    }

    private SampleScores chunk(Tensor samples) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor images = decoder.decode(samples.to(device));
            int[] classes = classes(judge, images);
            int[] own = classes(classifier, images);
            boolean[] agrees = new boolean[classes.length];
            for (int i = 0; i < classes.length; i++) {
                agrees[i] = classes[i] == own[i];
            }
            return new SampleScores(
                    reward.score(images, Condition.none()).toDoubleArray(),
                    other.score(images, Condition.none()).toDoubleArray(),
                    classes,
                    agrees);
        }
    }

    private static int[] classes(ImageClassifier classifier, Tensor images) {
        return Arrays.stream(classifier.classify(images).argmax(1).toLongArray())
                .mapToInt(Math::toIntExact)
                .toArray();
    }

    @Override
    public void close() {
        reward.close();
        other.close();
    }
}
