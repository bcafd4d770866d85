package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.file.Path;
import org.metaflowmaps.runtime.Device;

/** Opens the data of a configuration; {@link DataConfig.Kind} lists its kinds. */
public final class Datasets {
    private Datasets() {}

    /** Opens data of one kind. */
    interface Opener {
        TrainingData open(DataConfig config, long seed, Device device) throws IOException;
    }

    /** Opens the items of one kind of data. */
    interface ItemsOpener {
        Items open(DataConfig config) throws IOException;
    }

    /** Makes data whose batches a loader builds from items. */
    static Opener of(ItemsOpener items) {
        return (config, seed, device) -> new Loader(items.open(config), seed, config.reading(), device);
    }

    /** Opens folders of images, as pixels or encoded. */
    static TrainingData images(DataConfig config, long seed, Device device) throws IOException {
        String vae = config.vae();
        Items images = vae == null ? ImageFolder.open(config) : EncodedImages.open(config, Path.of(vae), device);
        return new Loader(images, seed, config.reading(), device);
    }

    /**
     * Opens the data of a configuration.
     *
     * @param data what to open
     * @param seed the run's {@code seed}; determines the order of items and all their random numbers
     * @param device the device of batches
     * @return the stream to train on, owned by the caller
     * @throws IOException if the data cannot be read
     * @throws IllegalArgumentException if more items are held out than there are
     */
    public static TrainingData open(DataConfig data, long seed, Device device) throws IOException {
        return data.open(seed, device);
    }

    /**
     * Reads the images of a configuration whose images are kept in memory.
     *
     * @throws IOException if they cannot be read
     */
    public static LabelledImages images(DataConfig config) throws IOException {
        if (config.kind() == DataConfig.Kind.IDX) {
            return IdxImages.train(config.path(), config.knownClasses());
        }
        String folder = config.folder();
        return folder == null ? FashionMnist.test() : FashionMnist.train(Path.of(folder));
    }
}
