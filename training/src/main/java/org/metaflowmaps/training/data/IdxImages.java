package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/** Sets of grey images with labels in two IDX files, such as MNIST, Fashion-MNIST and KMNIST. */
public final class IdxImages {
    private static final String IMAGES = "train-images-idx3-ubyte";
    private static final String LABELS = "train-labels-idx1-ubyte";

    private IdxImages() {}

    /**
     * Reads the training images of a set.
     *
     * @param folder holds {@code train-images-idx3-ubyte} and {@code train-labels-idx1-ubyte}, each with or without
     *     {@code .gz}
     * @param classes labels are from 0 to below this, at most 127
     * @return the images, one channel, of the file's size; classes are named by their numbers
     * @throws FileNotFoundException if a file is missing
     * @throws IdxException if a file is damaged, or they are not images with one label each
     * @throws IOException if a file cannot be read
     */
    public static LabelledImages train(Path folder, int classes) throws IOException {
        Preconditions.checkArgument(
                classes >= 1 && classes <= Byte.MAX_VALUE, "IDX files of %s classes, expected 1 to 127", classes);
        return train(
                folder,
                IntStream.range(0, classes).mapToObj(String::valueOf).toList(),
                "name the folder that holds them with --data DIR");
    }

    static LabelledImages train(Path folder, List<String> classNames, String remedy) throws IOException {
        Path images = find(folder, IMAGES, remedy);
        Path labels = find(folder, LABELS, remedy);
        return join(Idx.read(images), Idx.read(labels), classNames, images + " with " + labels.getFileName());
    }

    /** Returns true if the folder contains both training files. */
    static boolean complete(Path folder) {
        return present(folder, IMAGES).isPresent() && present(folder, LABELS).isPresent();
    }

    /** Returns true if the folder contains one of the training files, so that it is meant to be such a set. */
    static boolean present(Path folder) {
        return present(folder, IMAGES).isPresent() || present(folder, LABELS).isPresent();
    }

    private static Optional<Path> present(Path folder, String name) {
        Path plain = folder.resolve(name);
        Path zipped = folder.resolve(name + ".gz");
        return Files.isRegularFile(plain)
                ? Optional.of(plain)
                : Optional.of(zipped).filter(Files::isRegularFile);
    }

    private static Path find(Path folder, String name, String remedy) throws FileNotFoundException {
        return present(folder, name)
                .orElseThrow(() -> new FileNotFoundException(folder
                        + (Files.isDirectory(folder) ? " holds neither " : " is not a folder; looked in it for ") + name
                        + (Files.isDirectory(folder) ? " nor " : " or ") + name + ".gz; " + remedy));
    }

    static LabelledImages join(IdxArray images, IdxArray labels, List<String> classNames, String source)
            throws IdxException {
        int[] imageShape = images.shape();
        int[] labelShape = labels.shape();
        if (imageShape.length != 3 || labelShape.length != 1 || labelShape[0] != imageShape[0]) {
            throw new IdxException(
                    source,
                    "images of shape " + Arrays.toString(imageShape) + " with labels of shape "
                            + Arrays.toString(labelShape) + ", expected [N, rows, columns] with [N]; check that both "
                            + "files belong together");
        }
        try {
            return new LabelledImages(images.data(), 1, imageShape[1], imageShape[2], labels.data(), classNames);
        } catch (IllegalArgumentException e) {
            throw new IdxException(source, e.getMessage() + "; check that both files belong together", e);
        }
    }
}
