package org.metaflowmaps.training;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.Pair;
import org.metaflowmaps.training.model.Context;
import org.metaflowmaps.training.model.LinearInterpolant;

/** Draws what the losses are evaluated on (method §4.1). All noise is fresh; context and path share the data. */
final class PairSampler {
    private final TrainConfig.Times times;
    private final double labelDrop;
    private final RandomSource random;

    PairSampler(TrainConfig.Times times, double labelDrop, RandomSource random) {
        this.times = times;
        this.labelDrop = labelDrop;
        this.random = random;
    }

    /** Contexts t, x_t = I_t for a batch, some without their labels. {@code classes} stands for no label. */
    Context context(TrainingData.Batch batch, int classes) {
        try (TensorScope scope = TensorScope.open()) {
            long size = batch.items().size(0);
            Tensor time = random.uniform(size).pow(times.contextPower());
            time = time.mul(random.uniform(size).ge(times.contextAtom()).to(DType.FLOAT32));
            Tensor state = LinearInterpolant.state(random.normal(batch.items().shape()), batch.items(), time);
            Tensor dropped = random.uniform(size).lt(labelDrop);
            Tensor labels = Torch.where(dropped, Torch.full(classes, DType.INT64, random.device(), size), batch.labels());
            return new Context(scope.keep(time), scope.keep(state), scope.keep(labels), null);
        }
    }

    /** Points of the diagonal: s uniform. */
    Pair diagonal(Tensor data, Context context) {
        Tensor start = random.uniform(data.size(0));
        return new Pair(start, start, null, random.normal(data.shape()), data, context);
    }

    /** Jumps from s to u, a sorted pair of uniforms, split at a uniform fraction. */
    Pair jump(Tensor data, Context context) {
        Tensor one = random.uniform(data.size(0));
        Tensor other = random.uniform(data.size(0));
        @Nullable Tensor fraction = random.uniform(data.size(0));
        return new Pair(one.minimum(other), one.maximum(other), fraction, random.normal(data.shape()), data, context);
    }
}
