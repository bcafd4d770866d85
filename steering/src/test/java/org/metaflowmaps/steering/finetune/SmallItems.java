package org.metaflowmaps.steering.finetune;

import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.data.TrainingData;

/** Random items of class 0 for the small transformer; a batch depends on its position only. */
record SmallItems(Device device) implements TrainingData {
    @Override
    public Shape itemShape() {
        TransformerConfig config = SmallNetworks.config();
        return Shape.of(config.inChannels(), config.inputSize(), config.inputSize());
    }

    @Override
    public int classes() {
        return SmallNetworks.config().labelDim();
    }

    @Override
    public Batch batch(long position, int count) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(position)) {
            return new Batch(
                    scope.keep(random.normal(itemShape().prepend(count)).to(device)),
                    scope.keep(Torch.zeros(DType.INT64, device, count)));
        }
    }

    @Override
    public void close() {}
}
