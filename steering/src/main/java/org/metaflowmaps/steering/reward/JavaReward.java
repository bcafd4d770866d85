package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.lang.foreign.MemorySegment;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Any Java function of images as a reward, without a gradient. Float32 images on the CPU are passed without a copy;
 * others are copied, and the call waits for a GPU.
 *
 * @param name for messages
 * @param scorer the function, called on the thread that samples
 */
public record JavaReward(String name, Scorer scorer) implements Reward {
    /** A function that scores images. */
    @FunctionalInterface
    public interface Scorer {
        /**
         * Scores each image independently.
         *
         * @param images float32 in [0, 1], the machine's byte order, row-major (N, C, H, W); read-only, valid until
         *     this returns
         * @param shape (N, C, H, W)
         * @return N scores; negative infinity is allowed, NaN and positive infinity are not
         */
        float[] score(MemorySegment images, Shape shape);
    }

    /** Checks for null. */
    public JavaReward {
        Preconditions.checkNotNull(name, "Java reward: the name is null");
        Preconditions.checkNotNull(scorer, "reward %s: the function is null", name);
    }

    @Override
    public Tensor score(Tensor samples, Condition condition) {
        Checks.images(name, samples);
        try (TensorScope scope = TensorScope.open()) {
            // Make a view in this scope, so that the segment becomes invalid after this call.
            Tensor images = samples.detach().to(DType.FLOAT32).to(Device.CPU).contiguous();
            float[] scores = scorer.score(images.segment().asReadOnly(), images.shape());
            Preconditions.checkArgument(
                    scores.length == samples.size(0),
                    "reward %s returned %s scores for %s images, expected one for each",
                    name,
                    scores.length,
                    samples.size(0));
            return scope.keep(Torch.of(scores).to(samples.device()).to(samples.dtype()));
        }
    }

    @Override
    public boolean isDifferentiable() {
        return false;
    }
}
