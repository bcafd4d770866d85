package org.metaflowmaps.steering.reward;

import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Random samples and rewards for the tests of this package. */
final class Samples {
    static final int CHANNELS = 2;
    static final int SIDE = 4;
    static final int NUMBERS = CHANNELS * SIDE * SIDE;

    private Samples() {}

    /** Images (count, 2, 4, 4) in [0, 1], float64. */
    static Tensor images(int count, long seed) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(seed)) {
            return scope.keep(random.uniform(count, CHANNELS, SIDE, SIDE).to(DType.FLOAT64));
        }
    }

    /** Standard normal numbers, float64. */
    static Tensor normal(long seed, long... shape) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(seed)) {
            return scope.keep(random.normal(shape).to(DType.FLOAT64));
        }
    }

    /** A smooth classifier of images (N, 2, 4, 4) with 3 classes, in the images' type. */
    static ImageClassifier classifier() {
        return images -> {
            try (TensorScope scope = TensorScope.open()) {
                Tensor weights = normal(7, NUMBERS, 3).to(images.dtype());
                return scope.keep(images.reshape(images.size(0), -1)
                        .matmul(weights)
                        .tanh()
                        .mul(2));
            }
        };
    }

    /** The mask of the left half. */
    static Tensor leftHalf() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor mask = Torch.zeros(SIDE, SIDE);
            Tensor left = mask.narrow(1, 0, SIDE / 2);
            left.fill_(1);
            return scope.keep(mask);
        }
    }

    /** An inverse problem whose observation is of another image than the samples. */
    static InverseProblem problem(Measurement measurement) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(5)) {
            Tensor image = images(1, 6).select(0, 0);
            return new InverseProblem(measurement, measurement.observe(image, 0.1, random), 0.1);
        }
    }

    static Measurement blur() {
        return Measurement.blur(0.7, SIDE, SIDE, Device.CPU);
    }

    static double[] scores(Reward reward, Tensor samples) {
        try (TensorScope scope = TensorScope.open()) {
            return reward.score(samples, Condition.none()).toDoubleArray();
        }
    }
}
