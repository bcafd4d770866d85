package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.Optional;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;

/**
 * Inputs of rewards besides their text. Owns nothing.
 *
 * @param device of the samples
 * @param classifier for rewards of classes; must stay open while they are used
 * @param image the image that inverse problems observe: (C, H, W) in [0, 1] on the device; read once
 * @param seed of the observation's noise
 * @param texts for rewards by text and image
 */
public record RewardContext(
        Device device,
        Optional<ImageClassifier> classifier,
        Optional<Tensor> image,
        long seed,
        Optional<TextInputs> texts) {
    /** Checks for null. */
    public RewardContext {
        Preconditions.checkNotNull(device, "reward context: the device is null");
        Preconditions.checkNotNull(
                classifier, "reward context: the classifier is null; for none, give Optional.empty()");
        Preconditions.checkNotNull(image, "reward context: the image is null; for none, give Optional.empty()");
        Preconditions.checkNotNull(texts, "reward context: the texts are null; for none, give Optional.empty()");
    }

    /** Makes a context without a text. */
    public RewardContext(Device device, Optional<ImageClassifier> classifier, Optional<Tensor> image, long seed) {
        this(device, classifier, image, seed, Optional.empty());
    }

    /** Makes a context without classifier, image and text. */
    public static RewardContext of(Device device) {
        return new RewardContext(device, Optional.empty(), Optional.empty(), 0);
    }

    ImageClassifier requireClassifier(String reward) {
        return classifier.orElseThrow(() -> new IllegalArgumentException(
                "reward '" + reward + "' needs a classifier, and none was given: give one for the map's images"));
    }

    TextInputs requireTexts(String reward) {
        return texts.orElseThrow(() -> new IllegalArgumentException(
                "reward '" + reward + "' needs a prompt, the text that images are compared with: give one"));
    }

    Tensor requireImage(String reward) {
        Tensor given = image.orElseThrow(() -> new IllegalArgumentException(
                "reward '" + reward + "' needs an image to observe, and none was given: give one of the map's size"));
        Preconditions.checkArgument(
                given.dim() == 3 && given.dtype().isFloatingPoint(),
                "reward '%s': the image to observe is %s, expected (C, H, W) of floating point",
                reward,
                given);
        return given;
    }
}
