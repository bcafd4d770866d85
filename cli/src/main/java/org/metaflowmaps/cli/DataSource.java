package org.metaflowmaps.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Objects;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.config.DataConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.IdxImages;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.ImageFolder;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.data.LatentShards;
import org.metaflowmaps.training.data.MixtureData;
import org.metaflowmaps.training.data.Reading;
import org.metaflowmaps.training.data.TrainingData;

/** The data that a configuration names. */
public final class DataSource {
    private DataSource() {}

    /** The images of a configuration whose images are held in memory. */
    public static LabelledImages images(DataConfig config) throws IOException {
        String folder = config.folder();
        if (config.kind() == DataConfig.Kind.IDX) {
            return IdxImages.train(folder(config), config.classes());
        }
        return folder == null ? FashionMnist.test() : FashionMnist.train(Path.of(folder));
    }

    /** The configuration has seen to it that there is one where there must be. */
    private static Path folder(DataConfig config) {
        return Path.of(Objects.requireNonNull(config.folder()));
    }

    /** The stream to train on, owned by the caller. */
    public static TrainingData open(TrainConfig config, Device device) throws IOException {
        DataConfig data = config.data();
        return switch (data.kind()) {
            case FASHION_MNIST, IDX -> {
                LabelledImages images = images(data);
                if (data.holdOut() >= images.count()) {
                    throw new IllegalArgumentException("config: data.hold_out is " + data.holdOut() + ", the set has "
                            + images.count() + " images");
                }
                yield new ImageData(images, images.count() - data.holdOut(), config.seed(), data.flip(), device);
            }
            case MIXTURE -> new MixtureData(data.means(), data.variance(), config.seed(), device);
            case IMAGES -> new ImageFolder(folder(data), data.size(), data.channels(), config.seed(), reading(data),
                    device);
            case LATENTS -> new LatentShards(folder(data), data.channels(), data.classes(), data.scale(), config.seed(), reading(data), device);
        };
    }

    private static Reading reading(DataConfig data) {
        return new Reading(data.workers(), data.holdOut(), data.flip(), data.onError() == DataConfig.OnError.SKIP, data.skipAtMost());
    }
}
