package org.metaflowmaps.training.data;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * Fashion-MNIST: grey pictures of clothes, 28 x 28, in ten classes.
 *
 * <p>This library contains the 10,000 test images; the 60,000 training images are read from a folder. Source: Xiao,
 * Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017; the
 * images are under Zalando SE's MIT licence, stored beside them.
 */
public final class FashionMnist {
    /** Rows and columns of an image. */
    public static final int SIZE = 28;

    /** The name of each class, by label. */
    public static final List<String> CLASSES = List.of(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot");

    private static final String RESOURCES = "fashion-mnist/";
    private static final Path DEBIAN_FOLDER = Path.of("/usr/share/datasets/fashion-mnist");

    private FashionMnist() {}

    /**
     * Reads the 10,000 test images in this library.
     *
     * @return the images, one channel, 28 x 28; read again at each call
     */
    public static LabelledImages test() {
        try {
            return IdxImages.join(
                    resource("t10k-images-idx3-ubyte.gz"),
                    resource("t10k-labels-idx1-ubyte.gz"),
                    CLASSES,
                    "Fashion-MNIST's test set");
        } catch (IOException e) {
            throw new UncheckedIOException(
                    "Fashion-MNIST's test images in this library's jar are damaged: build it again", e);
        }
    }

    /**
     * Reads the 60,000 training images from a folder.
     *
     * @param folder holds {@code train-images-idx3-ubyte} and {@code train-labels-idx1-ubyte}, each with or without
     *     {@code .gz}
     * @return the images, one channel, 28 x 28
     * @throws FileNotFoundException if a file is missing; the message says how to get it
     * @throws IdxException if a file is damaged or is not a set of 28 x 28 images with labels from 0 to 9
     * @throws IOException if a file cannot be read
     */
    public static LabelledImages train(Path folder) throws IOException {
        return checked(
                IdxImages.train(
                        folder,
                        CLASSES,
                        "install the package dataset-fashion-mnist (Debian, Ubuntu), which puts the " + "files into "
                                + DEBIAN_FOLDER + ", or name the folder that holds them with --data DIR"),
                folder.toString());
    }

    /**
     * Finds the folder where Debian and its derivatives install the data set.
     *
     * @return the folder, if it contains both training files
     */
    public static Optional<Path> installedFolder() {
        return IdxImages.complete(DEBIAN_FOLDER) ? Optional.of(DEBIAN_FOLDER) : Optional.empty();
    }

    private static IdxArray resource(String name) throws IOException {
        try (InputStream in = FashionMnist.class.getResourceAsStream(RESOURCES + name)) {
            if (in == null) {
                throw new FileNotFoundException("the resource " + RESOURCES + name + " is missing");
            }
            return Idx.read(in, name);
        }
    }

    private static LabelledImages checked(LabelledImages images, String source) throws IdxException {
        if (images.height() != SIZE || images.width() != SIZE) {
            throw new IdxException(
                    source,
                    "images of %d x %d, expected 28 x 28; check that both files are Fashion-MNIST's"
                            .formatted(images.height(), images.width()));
        }
        return images;
    }
}
