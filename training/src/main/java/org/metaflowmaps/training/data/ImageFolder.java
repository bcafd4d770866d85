package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * PNG and JPEG files in one subfolder per class, in [-1, 1], shuffled anew each epoch.
 *
 * <p>Classes are numbered by the order of their folders' names, files by theirs, both by code units. Hidden files and files that
 * end in neither .png, .jpg nor .jpeg are passed over. The short side is resized to the wanted size and the middle is cut out,
 * as guided-diffusion does it; grey, palettes, transparency (on white), 16 bits and CMYK are understood, an orientation in Exif
 * data is ignored. Files are decoded when their turn is near, on threads of their own, to a result that does not depend on how
 * many there are; two batches are kept ready. Only names stay in memory.
 */
public final class ImageFolder implements TrainingData {
    private final Path folder;
    private final List<String> classNames;
    private final String[] files;
    private final int[] labels;
    private final int size;
    private final int channels;
    private final Device device;
    private final ReadAhead items;

    /**
     * A stream of all images of a folder.
     *
     * @param folder holds one folder per class
     * @param size rows and columns of an item, at least 1
     * @param channels of an item: 1 for grey, 3 for red, green, blue
     * @param seed determines the order of every epoch
     * @param workers threads that decode ahead; 0 to decode in the caller's thread, when asked
     * @param device where batches are made
     * @throws IOException if the folder cannot be listed, has no subfolder, or one without an image
     */
    public ImageFolder(Path folder, int size, int channels, long seed, int workers, Device device)
            throws IOException {
        Preconditions.checkArgument(size >= 1, "images of size %s, expected at least 1", size);
        Preconditions.checkArgument(channels == 1 || channels == 3, "images of %s channels, expected 1 (grey) or 3 (colour)",
                channels);
        this.folder = folder;
        this.size = size;
        this.channels = channels;
        this.device = device;
        this.classNames = names(folder, Files::isDirectory);
        if (classNames.isEmpty()) {
            throw new IOException(folder + " has no subfolders, expected one per class, with PNG or JPEG files in each");
        }
        List<String> found = new ArrayList<>();
        int[] ends = new int[classNames.size()];
        for (int label = 0; label < ends.length; label++) {
            Path classFolder = folder.resolve(classNames.get(label));
            found.addAll(names(classFolder, ImageFolder::isImage));
            ends[label] = found.size();
            if (ends[label] == (label == 0 ? 0 : ends[label - 1])) {
                throw new IOException(classFolder + " holds no PNG or JPEG file, expected some in each class's folder: remove it, "
                        + "or put images into it");
            }
        }
        this.files = found.toArray(new String[0]);
        this.labels = new int[files.length];
        for (int label = 1; label < ends.length; label++) {
            Arrays.fill(labels, ends[label - 1], ends[label], label);
        }
        this.items = new ReadAhead(files.length, seed, workers, this::decode);
    }

    /** The visible entries of a folder that pass, sorted. */
    private static List<String> names(Path folder, Predicate<Path> passes) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.filter(entry -> !entry.getFileName().toString().startsWith(".") && passes.test(entry))
                    .map(entry -> entry.getFileName().toString()).sorted().toList();
        } catch (NotDirectoryException e) {
            throw new IOException(folder + " is not a folder, expected one with a subfolder per class", e);
        }
    }

    private static boolean isImage(Path file) {
        String name = file.getFileName().toString().toLowerCase(Locale.ROOT);
        return (name.endsWith(".png") || name.endsWith(".jpg") || name.endsWith(".jpeg")) && Files.isRegularFile(file);
    }

    private byte[] decode(int index) throws IOException {
        Path file = folder.resolve(classNames.get(labels[index])).resolve(files[index]);
        return ImageFile.read(file, channels).centreCrop(size).bytes();
    }

    /** The number of images. */
    public int count() {
        return files.length;
    }

    /** The name of each class; a label is an index into it. */
    public List<String> classNames() {
        return classNames;
    }

    @Override
    public long[] itemShape() {
        return new long[] {channels, size, size};
    }

    @Override
    public int classes() {
        return classNames.size();
    }

    /**
     * {@inheritDoc}
     *
     * @throws java.io.UncheckedIOException if a file cannot be read or decoded; the message names it
     */
    @Override
    public Batch batch(long position, int count) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor bytes = Torch.empty(DType.UINT8, Device.CPU, count, channels, size, size);
            int[] numbers = items.read(position, count, bytes.segment());
            Tensor classes = Torch.of(Arrays.stream(numbers).mapToLong(number -> labels[number]).toArray());
            return new Batch(scope.keep(ImageData.normalised(bytes.to(device))), scope.keep(classes.to(device)));
        }
    }

    /** Ends the decoding threads. */
    @Override
    public void close() {
        items.close();
    }
}
