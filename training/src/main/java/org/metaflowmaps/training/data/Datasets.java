package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.file.Path;
import org.metaflowmaps.runtime.Device;

/** The data that a configuration names; {@link DataConfig.Kind} lists its kinds. */
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

    /** Data whose batches a loader makes of items. */
    static Opener of(ItemsOpener items) {
        return (config, seed, device) -> new Loader(items.open(config), seed, config.reading(), device);
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
        return data.open(seed, device);
    }

    /**
     * Reads the images of a configuration whose images are held in memory.
     *
     * @throws IOException if they cannot be read
     */
    public static LabelledImages images(DataConfig config) throws IOException {
        if (config.kind() == DataConfig.Kind.IDX) {
            return IdxImages.train(config.path(), config.classes());
        }
        String folder = config.folder();
        return folder == null ? FashionMnist.test() : FashionMnist.train(Path.of(folder));
    }
}
