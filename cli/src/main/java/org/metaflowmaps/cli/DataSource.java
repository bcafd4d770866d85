package org.metaflowmaps.cli;

import java.io.IOException;
import java.nio.file.Path;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.TrainConfig;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.data.MixtureData;
import org.metaflowmaps.training.data.TrainingData;

/** The data that a configuration names. */
final class DataSource {
    private DataSource() {}

    /** The images of an image configuration. */
    static LabelledImages images(TrainConfig.Data config) throws IOException {
        String folder = config.folder();
        return folder == null ? FashionMnist.test() : FashionMnist.train(Path.of(folder));
    }

    /** The stream to train on, owned by the caller. */
    static TrainingData open(TrainConfig config, Device device) throws IOException {
        TrainConfig.Data data = config.data();
        return switch (data.kind()) {
            case FASHION_MNIST -> {
                LabelledImages images = images(data);
                if (data.holdOut() >= images.count()) {
                    throw new IllegalArgumentException("config: data.hold_out is " + data.holdOut() + ", the set has " + images.count() + " images");
                }
                yield new ImageData(images, images.count() - data.holdOut(), config.seed(), device);
            }
            case MIXTURE -> new MixtureData(data.means(), data.variance(), config.seed(), device);
        };
    }
}
