package org.metaflowmaps.steering.evaluation;

import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** Computes feature vectors of images, for distances between sets of images. */
@FunctionalInterface
public interface ImageFeatures {
    /**
     * Computes features, of each image independently.
     *
     * @param images (B, C, H, W) float32 in [0, 1]
     * @return (B, width) of a floating-point type, the same width at every call; in the innermost open scope
     */
    Tensor of(Tensor images);

    /**
     * Returns the features of this library's classifier of Fashion-MNIST.
     *
     * @param classifier not owned
     */
    static ImageFeatures of(FashionClassifier classifier) {
        return images -> {
            try (TensorScope scope = TensorScope.open()) {
                return scope.keep(classifier.features(images.mul(2).sub(1)));
            }
        };
    }
}
