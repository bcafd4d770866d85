package org.metaflowmaps.training.data;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * Fashion-MNIST: grey pictures of clothes, 28 x 28, in ten classes.
 *
 * <p>The 10,000 test images come with this library, the 60,000 training images from a folder. Source: Xiao, Rasul and Vollgraf,
 * "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017; the images are under the MIT
 * licence of Zalando SE, which lies beside them.
 */
public final class FashionMnist {
    /** Rows and columns of an image. */
    public static final int SIZE = 28;

    /** The name of each class, by label. */
    public static final List<String> CLASSES = List.of("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt",
            "Sneaker", "Bag", "Ankle boot");

    private static final String RESOURCES = "fashion-mnist/";
    private static final Path DEBIAN_FOLDER = Path.of("/usr/share/datasets/fashion-mnist");
    private static final String TRAIN_IMAGES = "train-images-idx3-ubyte";
    private static final String TRAIN_LABELS = "train-labels-idx1-ubyte";

    private FashionMnist() {
    }

    /**
     * Reads the 10,000 test images that come with this library.
     *
     * @return the images, one channel, 28 x 28; read anew at each call
     */
    public static LabelledImages test() {
        try {
            return join(resource("t10k-images-idx3-ubyte.gz"), resource("t10k-labels-idx1-ubyte.gz"), "Fashion-MNIST's test set");
        } catch (IOException e) {
            throw new UncheckedIOException("Fashion-MNIST's test images in this library's jar are damaged; build it again", e);
        }
    }

    /**
     * Reads the 60,000 training images from a folder.
     *
     * @param folder holds {@code train-images-idx3-ubyte} and {@code train-labels-idx1-ubyte}, each either so named or with
     *     {@code .gz} behind it
     * @return the images, one channel, 28 x 28
     * @throws FileNotFoundException if a file is missing; the message says how to get it
     * @throws IdxException if a file is damaged or is not a set of 28 x 28 images with labels from 0 to 9
     * @throws IOException if a file cannot be read
     */
    public static LabelledImages train(Path folder) throws IOException {
        Path images = find(folder, TRAIN_IMAGES);
        Path labels = find(folder, TRAIN_LABELS);
        return join(Idx.read(images), Idx.read(labels), images + " with " + labels.getFileName());
    }

    /**
     * Finds the folder in which Debian and its kin install the data set.
     *
     * @return the folder, if both training files lie in it
     */
    public static Optional<Path> installedFolder() {
        boolean complete = present(DEBIAN_FOLDER, TRAIN_IMAGES).isPresent() && present(DEBIAN_FOLDER, TRAIN_LABELS).isPresent();
        return complete ? Optional.of(DEBIAN_FOLDER) : Optional.empty();
    }

    private static Optional<Path> present(Path folder, String name) {
        Path plain = folder.resolve(name);
        Path zipped = folder.resolve(name + ".gz");
        return Files.isRegularFile(plain) ? Optional.of(plain) : Optional.of(zipped).filter(Files::isRegularFile);
    }

    private static Path find(Path folder, String name) throws FileNotFoundException {
        return present(folder, name).orElseThrow(() -> new FileNotFoundException(folder
                + (Files.isDirectory(folder) ? " holds neither " : " is not a folder; looked in it for ") + name
                + (Files.isDirectory(folder) ? " nor " : " or ") + name
                + ".gz. Install the package dataset-fashion-mnist (Debian, Ubuntu), which puts the files into " + DEBIAN_FOLDER
                + ", or name the folder that holds them with --data DIR"));
    }

    private static IdxArray resource(String name) throws IOException {
        try (InputStream in = FashionMnist.class.getResourceAsStream(RESOURCES + name)) {
            if (in == null) {
                throw new FileNotFoundException("the resource " + RESOURCES + name + " is missing");
            }
            return Idx.read(in, name);
        }
    }

    private static LabelledImages join(IdxArray images, IdxArray labels, String source) throws IdxException {
        int[] imageShape = images.shape();
        int[] labelShape = labels.shape();
        if (imageShape.length != 3 || imageShape[1] != SIZE || imageShape[2] != SIZE || labelShape.length != 1
                || labelShape[0] != imageShape[0]) {
            throw new IdxException(source, "images of shape " + Arrays.toString(imageShape) + " with labels of shape "
                    + Arrays.toString(labelShape) + ", expected [N, 28, 28] with [N]; check that both files are Fashion-MNIST's");
        }
        try {
            return new LabelledImages(images.data(), 1, SIZE, SIZE, labels.data(), CLASSES);
        } catch (IllegalArgumentException e) {
            throw new IdxException(source, e.getMessage() + "; check that both files are Fashion-MNIST's", e);
        }
    }
}
