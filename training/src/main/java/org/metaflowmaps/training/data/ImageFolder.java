package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * PNG and JPEG files in one subfolder per class, in [-1, 1], in a new order each epoch.
 *
 * <p>Classes are numbered by the order of their folders' names, files by theirs, both by code units. Hidden files, files that
 * end in neither .png, .jpg nor .jpeg, folders inside class folders and empty class folders are passed over and counted. The short side
 * is resized to the wanted size and the middle is cut out,
 * as guided-diffusion does it; grey, palettes, transparency (on white), 16 bits and CMYK are understood, an orientation in Exif
 * data is ignored. Files are decoded when their turn is near, on threads of their own, to a result that does not depend on how
 * many there are; two batches are kept ready. Only names stay in memory.
 */
public final class ImageFolder implements TrainingData {
    private final ImageTree images;
    private final HoldOut choice;
    private final int size;
    private final int channels;
    private final Device device;
    private final Flips flips;
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
     * @throws IOException if the folder cannot be listed, has no subfolder with an image, or one with other files only
     */
    public ImageFolder(Path folder, int size, int channels, long seed, int workers, Device device)
            throws IOException {
        this(folder, size, channels, seed, Reading.of(workers), device);
    }

    /**
     * A stream of the images of a folder that are not held out.
     *
     * @param reading how files are read; which are held out depends on their names alone, with each class in proportion
     * @throws IllegalArgumentException if a class would have no image left to train on
     */
    public ImageFolder(Path folder, int size, int channels, long seed, Reading reading, Device device)
            throws IOException {
        Preconditions.checkArgument(size >= 1, "images of size %s, expected at least 1", size);
        Preconditions.checkArgument(channels == 1 || channels == 3, "images of %s channels, expected 1 (grey) or 3 (colour)",
                channels);
        this.size = size;
        this.channels = channels;
        this.device = device;
        this.images = new ImageTree(folder);
        this.choice = HoldOut.of(images.labels(), images.classNames().size(), reading.holdOut(), images::key);
        this.flips = new Flips(reading.flip(), seed);
        this.items = new ReadAhead(choice.trained().length, seed, reading, this::decode);
    }

    private byte[] decode(int index, long place) throws IOException {
        Planes item = ImageFile.read(images.file(choice.trained()[index]), channels).centreCrop(size);
        return flips.at(place) ? item.mirrored().bytes() : item.bytes();
    }

    /** The number of images, held-out ones among them. */
    public int count() {
        return images.count();
    }

    @Override
    public List<String> classNames() {
        return images.classNames();
    }

    @Override
    public String summary() {
        return images.summary(choice.held().length);
    }

    @Override
    public int heldOut() {
        return choice.held().length;
    }

    @Override
    public Batch heldOut(int from, int wanted) {
        int[] numbers = choice.held(from, wanted);
        try (TensorScope scope = TensorScope.open()) {
            Tensor bytes = Torch.empty(DType.UINT8, Device.CPU, wanted, channels, size, size);
            long length = (long) channels * size * size;
            for (int i = 0; i < wanted; i++) {
                byte[] item = ImageFile.read(images.file(numbers[i]), channels).centreCrop(size).bytes();
                bytes.segment().asSlice(i * length, length).copyFrom(MemorySegment.ofArray(item));
            }
            return batch(scope, bytes, numbers);
        } catch (IOException e) {
            throw new UncheckedIOException(e.getMessage(), e);
        }
    }

    @Override
    public long replaced() {
        return items.replaced();
    }

    @Override
    public long[] itemShape() {
        return new long[] {channels, size, size};
    }

    @Override
    public int classes() {
        return images.classNames().size();
    }

    /**
     * {@inheritDoc}
     *
     * @throws UncheckedIOException if a file cannot be read or decoded; the message names it
     */
    @Override
    public Batch batch(long position, int count) {
        return batch(count, bytes -> items.read(position, count, bytes));
    }

    @Override
    public Batch examples(int count) {
        return batch(count, bytes -> items.first(count, bytes));
    }

    /** Reads items into memory and returns their numbers among those that are trained on. */
    private Batch batch(int count, Function<MemorySegment, int[]> read) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor bytes = Torch.empty(DType.UINT8, Device.CPU, count, channels, size, size);
            int[] numbers = read.apply(bytes.segment());
            return batch(scope, bytes, Arrays.stream(numbers).map(number -> choice.trained()[number]).toArray());
        }
    }

    private Batch batch(TensorScope scope, Tensor bytes, int[] numbers) {
        Tensor classes = Torch.of(Arrays.stream(numbers).mapToLong(number -> images.labels()[number]).toArray());
        return new Batch(scope.keep(ImageData.normalised(bytes.to(device))), scope.keep(classes.to(device)));
    }

    /** Ends the decoding threads. */
    @Override
    public void close() {
        items.close();
    }
}
