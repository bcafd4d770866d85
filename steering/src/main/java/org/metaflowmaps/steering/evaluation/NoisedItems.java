package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.SteeringNoise;

/**
 * Clean items to noise, for evaluations at several times. An item's noise depends only on the seed and its index, and
 * is the same at every time.
 *
 * @param clean (N, item shape) float32, not owned
 * @param condition labels and guidance scales of the N items
 * @param seed of all noise
 */
public record NoisedItems(Tensor clean, Condition condition, long seed) {
    /** Checks that there is an item. */
    public NoisedItems {
        Preconditions.checkArgument(
                clean.dim() >= 2 && clean.size(0) >= 1,
                "noised items: the clean ones are %s, expected (N, item shape) with N at least 1",
                clean);
        Preconditions.checkNotNull(condition, "noised items: the condition is null; for none, give Condition.none()");
    }

    /** Returns the number N of items. */
    public int count() {
        return Math.toIntExact(clean.size(0));
    }

    /** Returns the contexts of some items noised to a time, in the innermost open scope. */
    Context at(double time, int first, int count) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor times = scope.keep(Torch.full(time, clean.dtype(), clean.device(), count));
            Tensor start = noise(first, count, 1).normal(SteeringNoise.Use.START, 0);
            Tensor state = scope.keep(LinearInterpolant.state(start, clean.narrow(0, first, count), times));
            return Context.unchecked(times, state, condition.slice(first, count).keptFrom(scope));
        }
    }

    /** Returns the noise of the posterior draws of some items: (count · draws, item shape). */
    Tensor draws(int first, int count, int draws) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor noise = noise(first, count, 1).normal(SteeringNoise.Use.DRAW, 0, 0, draws);
            return scope.keep(noise.reshape(clean.shape().from(1).prepend((long) count * draws)));
        }
    }

    /** Returns the noise of particles of some items. */
    KeyedNoise noise(int first, int count, int particles) {
        return KeyedNoise.of(seed, first, count, particles, clean.shape().from(1), clean.device());
    }
}
