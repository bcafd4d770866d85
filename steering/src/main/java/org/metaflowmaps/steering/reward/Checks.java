package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Tensor;

/** Checks of arguments that several rewards share. */
final class Checks {
    private Checks() {}

    /** Returns images; throws unless they are (N, C, H, W) of floating point. */
    static Tensor images(String reward, Tensor images) {
        Preconditions.checkArgument(
                images.dim() == 4 && images.dtype().isFloatingPoint(),
                "reward %s: images are %s, expected (N, C, H, W) of floating point",
                reward,
                images);
        return images;
    }

    /** Returns log p(y|x) of all classes: (N, classes). */
    static Tensor logProbabilities(String reward, ImageClassifier classifier, Tensor images, int atLeast) {
        Tensor logits = classifier.classify(images(reward, images));
        Preconditions.checkArgument(
                logits.dim() == 2 && logits.size(0) == images.size(0) && logits.size(1) >= atLeast,
                "reward %s: the classifier returned logits %s for %s images, expected (%s, classes) with at least %s"
                        + " classes",
                reward,
                logits,
                images.size(0),
                images.size(0),
                atLeast);
        return logits.logSoftmax(1);
    }

    /** Returns a standard deviation; throws unless it is positive and finite. */
    static double deviation(String owner, String name, double value) {
        Preconditions.checkArgument(
                value > 0 && Double.isFinite(value),
                "%s: %s is %s, expected a finite number above 0",
                owner,
                name,
                value);
        return value;
    }
}
