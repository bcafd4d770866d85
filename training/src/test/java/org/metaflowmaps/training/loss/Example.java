package org.metaflowmaps.training.loss;

import java.util.Arrays;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** A random pair for a map, with its parts for formulas. */
record Example(Tensor start, Tensor end, Tensor fraction, Tensor noise, Tensor data, Context context) {
    static Example random(MetaFlowMap map, long seed) {
        try (RandomSource random = RandomSource.seeded(seed)) {
            return new Example(
                    Torch.of(new float[] {0.1f, 0.35f, 0}),
                    Torch.of(new float[] {0.8f, 0.6f, 1}),
                    random.uniform(SmallNetworks.BATCH),
                    SmallNetworks.items(map, random),
                    SmallNetworks.items(map, random),
                    SmallNetworks.context(map, random));
        }
    }

    Pair pair() {
        return new Pair(start, end, fraction, noise, data, context);
    }

    /** Makes the α-flow loss for a value of α, as by a schedule. */
    static Consistency alphaFlow(Velocity velocity, double alpha) {
        return (map, pair) ->
                new AlphaFlow(velocity, AlphaFlow.Stage.of(alpha)).of(map, pair.withAlpha(Torch.scalar(alpha)));
    }

    Example withFraction(double value) {
        return new Example(start, end, Torch.onesLike(start).mul(value), noise, data, context);
    }

    /** Reshapes a vector over the batch to multiply items. */
    Tensor wide(Tensor vector) {
        long[] shape = new long[noise.dim()];
        Arrays.fill(shape, 1);
        shape[0] = SmallNetworks.BATCH;
        return vector.reshape(shape);
    }

    /** (1 - s)·x̄_0 + s·x_1. */
    Tensor state() {
        return noise.mul(wide(start).neg().add(1)).add(data.mul(wide(start)));
    }

    /** u - s, shaped to multiply items. */
    Tensor length() {
        return wide(end).sub(wide(start));
    }

    Tensor velocity(MetaFlowMap map, Tensor from, Tensor to, Tensor state) {
        return map.averageVelocity(from, to, state, context);
    }
}
