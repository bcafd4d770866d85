package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;

/**
 * The shape of a configuration's data, read from a small part of it.
 *
 * @param channels of an item; the dimension of a mixture
 * @param size height and width of an item
 * @param classes number of classes
 */
public record DataShape(long channels, long size, long classes) {
    /**
     * Reads the shape.
     *
     * @throws IOException if the data cannot be read, or its items are not square
     */
    public static DataShape of(DataConfig data) throws IOException {
        return switch (data.kind()) {
            case FASHION_MNIST -> new DataShape(1, FashionMnist.SIZE, FashionMnist.CLASSES.size());
            case MIXTURE ->
                new DataShape(
                        data.means().isEmpty() ? 1 : data.means().getFirst().length,
                        1,
                        data.means().size());
            case IMAGES ->
                data.vae() == null
                        ? new DataShape(data.knownChannels(), data.size(), folders(data.path()))
                        : opened(data);
            case IDX -> {
                LabelledImages images = Datasets.images(data);
                yield square(images.channels(), images.height(), images.width(), data.knownClasses());
            }
            case LATENTS -> {
                LatentCaches.Description latents = LatentCaches.describe(data);
                yield square(latents.channels(), latents.height(), latents.width(), latents.classes());
            }
            default -> opened(data);
        };
    }

    private static DataShape opened(DataConfig data) throws IOException {
        try (TrainingData open = data.open(0, Device.CPU)) {
            Shape shape = open.itemShape();
            return shape.dim() == 3
                    ? square(shape.size(0), shape.size(1), shape.size(2), open.classes())
                    : new DataShape(shape.size(0), 1, open.classes());
        }
    }

    private static DataShape square(long channels, long height, long width, long classes) throws IOException {
        if (height != width) {
            throw new IOException("the data's items have " + height + " rows and " + width
                    + " columns, expected equal numbers: " + "model.transformer.input_size is one number");
        }
        return new DataShape(channels, height, classes);
    }

    private static long folders(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return Math.max(
                    1,
                    entries.filter(entry -> Files.isDirectory(entry)
                                    && !entry.getFileName().toString().startsWith("."))
                            .count());
        }
    }
}
