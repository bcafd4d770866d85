package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.DataConfig;
import org.metaflowmaps.training.data.Datasets;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.data.TrainingData;

/**
 * The first items of a map's data, to noise; of Fashion-MNIST the test images.
 *
 * @param clean (N, item shape)
 * @param labels (N) int64; those of a map without classes mean nothing
 * @param source a description for the user
 */
record EvaluationItems(Tensor clean, Tensor labels, String source) {
    /**
     * Returns items in the innermost open scope.
     *
     * @param config the configuration whose data provides them; null for that beside the checkpoint, or Fashion-MNIST
     * @param count the number of items, at least 1
     * @throws IllegalArgumentException if the data is unknown or does not fit the map
     */
    static EvaluationItems of(
            MetaFlowMap map, CheckpointOption checkpoint, @Nullable String config, int count, Device device)
            throws IOException {
        Path beside = checkpoint.beside("config.yaml");
        String name = config != null ? config : beside == null ? null : beside.toString();
        TrainConfig known = name == null ? null : Configs.load(name, List.of()).config();
        if (known == null || known.data().kind() == DataConfig.Kind.FASHION_MNIST) {
            return pictures(map, known != null, count, device);
        }
        try (TrainingData data = Datasets.open(known.data(), known.seed(), device)) {
            boolean classes = map.classes() == 0 || map.classes() == data.classes();
            if (!classes || !data.itemShape().equals(map.itemShape())) {
                throw new IllegalArgumentException(name + " has items of shape " + data.itemShape() + " with "
                        + data.classes()
                        + " classes, the map " + map.itemShape() + " with " + map.classes()
                        + ": give another with --config");
            }
            TrainingData.Batch batch = data.batch(0, count);
            // Give no labels to a map trained without labels, because its rows for them were never trained.
            Tensor labels =
                    known.labelDrop() < 1 ? batch.labels() : Torch.full(map.classes(), DType.INT64, device, count);
            return new EvaluationItems(batch.items(), labels, "the training data of " + name);
        }
    }

    private static EvaluationItems pictures(MetaFlowMap map, boolean known, int count, Device device) {
        if (!EvaluateFashionMnistCommand.fits(map)) {
            throw new IllegalArgumentException(
                    known
                            ? "the configuration's data is Fashion-MNIST, which does not fit the map: give another"
                                    + " with --config"
                            : "the data of this map is unknown, because there is no config.yaml beside it: give it as"
                                    + " --config");
        }
        LabelledImages test = FashionMnist.test();
        if (count > test.count()) {
            throw new IllegalArgumentException("--items " + count + " is out of range: give 1 to " + test.count());
        }
        return new EvaluationItems(
                ImageData.items(test, 0, count, device),
                ImageData.labels(test, 0, count, device),
                "Fashion-MNIST's test set");
    }
}
