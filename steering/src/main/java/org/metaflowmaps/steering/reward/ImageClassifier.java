package org.metaflowmaps.steering.reward;

import org.metaflowmaps.runtime.Tensor;

/** A classifier for rewards; several threads may call it at the same time. */
@FunctionalInterface
public interface ImageClassifier {
    /**
     * Classifies each image independently; differentiable.
     *
     * @param images (N, C, H, W) in [0, 1]
     * @return logits, whose softmax gives the classes' probabilities: (N, classes) of the images' type, in the
     *     innermost open scope
     */
    Tensor classify(Tensor images);
}
