package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Objects;
import org.metaflowmaps.runtime.Device;

/** The data that a configuration names. */
public final class Datasets {
    private Datasets() {}

    /**
     * Reads the images of a configuration whose images are held in memory.
     *
     * @throws IOException if they cannot be read
     */
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

    /**
     * Opens the data of a configuration.
     *
     * @param data what to open
     * @param seed determines the order of the items and everything random about them, {@code seed} of the run
     * @param device where batches are made
     * @return the stream to train on, owned by the caller
     * @throws IOException if the data cannot be read
     * @throws IllegalArgumentException if more items are to be held out than there are
     */
    public static TrainingData open(DataConfig data, long seed, Device device) throws IOException {
        return switch (data.kind()) {
            case FASHION_MNIST, IDX -> {
                LabelledImages images = images(data);
                if (data.holdOut() >= images.count()) {
                    throw new IllegalArgumentException("config: data.hold_out is " + data.holdOut() + ", the set has "
                            + images.count() + " images");
                }
                yield new ImageData(images, images.count() - data.holdOut(), seed, data.flip(), device);
            }
            case MIXTURE -> new MixtureData(data.means(), data.variance(), seed, device);
            case IMAGES -> new ImageFolder(folder(data), data.size(), data.channels(), seed, reading(data),
                    device);
            case LATENTS -> new LatentShards(folder(data), data.channels(), data.classes(), data.scale(), seed, reading(data), device);
        };
    }

    private static Reading reading(DataConfig data) {
        return new Reading(data.workers(), data.holdOut(), data.flip(), data.onError() == DataConfig.OnError.SKIP, data.skipAtMost());
    }
}
