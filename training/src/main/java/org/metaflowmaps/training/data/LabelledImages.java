package org.metaflowmaps.training.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;

/**
 * Images of one size with a class label each, held in memory as unsigned bytes.
 *
 * <p>Pixels are stored image by image, then channel by channel, row by row. Networks see them in [-1, 1]: byte 0 is -1,
 * byte 255 is 1. Immutable and thread-safe.
 */
public final class LabelledImages {
    private static final float[] LEVELS = levels();

    private final byte[] pixels;
    private final byte[] labels;
    private final int channels;
    private final int height;
    private final int width;
    private final List<String> classNames;

    /**
     * Joins pixels and labels.
     *
     * @param pixels unsigned bytes, count x channels x height x width; not copied; do not modify afterwards
     * @param channels channels of an image, at least 1
     * @param height rows of an image, at least 1
     * @param width columns of an image, at least 1
     * @param labels one label per image, from 0 to below the number of class names; not copied
     * @param classNames a name for each label, 1 to 127 names
     * @throws IllegalArgumentException if sizes disagree or a label has no name
     */
    public LabelledImages(byte[] pixels, int channels, int height, int width, byte[] labels, List<String> classNames) {
        if (channels < 1 || height < 1 || width < 1) {
            throw new IllegalArgumentException(
                    "an image of %d channels, %d rows and %d columns; expected at least 1 of each"
                            .formatted(channels, height, width));
        }
        if (classNames.isEmpty() || classNames.size() > Byte.MAX_VALUE) {
            throw new IllegalArgumentException(
                    classNames.size() + " class names, expected from 1 to " + Byte.MAX_VALUE);
        }
        long imageSize = (long) channels * height * width;
        if (labels.length == 0 || pixels.length != labels.length * imageSize) {
            throw new IllegalArgumentException(
                    "%d labels need at least one image and %d bytes of %d x %d x %d each; got %d bytes"
                            .formatted(
                                    labels.length, labels.length * imageSize, channels, height, width, pixels.length));
        }
        for (int i = 0; i < labels.length; i++) {
            if (labels[i] < 0 || labels[i] >= classNames.size()) {
                throw new IllegalArgumentException("label %d of image %d is out of range; expected 0 to %d"
                        .formatted(Byte.toUnsignedInt(labels[i]), i, classNames.size() - 1));
            }
        }
        this.pixels = pixels;
        this.labels = labels;
        this.channels = channels;
        this.height = height;
        this.width = width;
        this.classNames = List.copyOf(classNames);
    }

    /** Returns the number of images, at least 1. */
    public int count() {
        return labels.length;
    }

    /** Returns the channels of each image. */
    public int channels() {
        return channels;
    }

    /** Returns the rows of each image. */
    public int height() {
        return height;
    }

    /** Returns the columns of each image. */
    public int width() {
        return width;
    }

    /** Returns the number of values of one image: channels x height x width. */
    public int imageSize() {
        return channels * height * width;
    }

    /** Returns the class names, indexed by label. */
    public List<String> classNames() {
        return classNames;
    }

    /** Returns the class names, or none if classes are only numbered. */
    List<String> namedClasses() {
        boolean numbers = IntStream.range(0, classNames.size())
                .allMatch(label -> classNames.get(label).equals(Integer.toString(label)));
        return numbers ? List.of() : classNames;
    }

    /**
     * Returns an image's class.
     *
     * @throws IndexOutOfBoundsException if there is no such image
     */
    public int label(int index) {
        return labels[Objects.checkIndex(index, labels.length)];
    }

    /**
     * Returns all pixels, unsigned bytes, count x channels x height x width.
     *
     * @return a read-only view, no copy
     */
    public MemorySegment pixels() {
        return MemorySegment.ofArray(pixels).asReadOnly();
    }

    /**
     * Writes an image's pixels, in [-1, 1], channel by channel and row by row.
     *
     * @param index the image, from 0
     * @param out where to write {@link #imageSize()} numbers
     * @param offset the place of the first one in {@code out}
     * @throws IndexOutOfBoundsException if there is no such image, or {@code out} has no room for it
     */
    public void normalised(int index, float[] out, int offset) {
        int size = imageSize();
        int from = Objects.checkIndex(index, labels.length) * size;
        Objects.checkFromIndexSize(offset, size, out.length);
        for (int i = 0; i < size; i++) {
            out[offset + i] = LEVELS[pixels[from + i] & 0xff];
        }
    }

    /**
     * Writes an image's pixels, in [-1, 1], as floats in native byte order, channel by channel and row by row.
     *
     * @param index the image, from 0
     * @param out where to write {@link #imageSize()} floats; need not be aligned
     * @param offset the place of the first one in {@code out}, counted in floats
     * @throws IndexOutOfBoundsException if there is no such image, or {@code out} has no room for it
     */
    public void normalised(int index, MemorySegment out, long offset) {
        int size = imageSize();
        int from = Objects.checkIndex(index, labels.length) * size;
        Objects.checkFromIndexSize(offset, size, out.byteSize() / Float.BYTES);
        for (int i = 0; i < size; i++) {
            out.setAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, offset + i, LEVELS[pixels[from + i] & 0xff]);
        }
    }

    /**
     * Averages the images of one class within a range, in [-1, 1].
     *
     * @param label the class
     * @param from the first image
     * @param to the image after the last
     * @return a new array of {@link #imageSize()} numbers
     * @throws IndexOutOfBoundsException if the range is not within the images, or the label not within the classes
     * @throws IllegalArgumentException if no image of the range has that label
     */
    public float[] classMean(int label, int from, int to) {
        Objects.checkIndex(label, classNames.size());
        Objects.checkFromToIndex(from, to, labels.length);
        // Sum bytes as integers, so that the mean does not depend on the order of the images.
        long[] sums = new long[imageSize()];
        int found = 0;
        for (int image = from; image < to; image++) {
            if (labels[image] == label) {
                found++;
                for (int i = 0; i < sums.length; i++) {
                    sums[i] += pixels[image * sums.length + i] & 0xff;
                }
            }
        }
        if (found == 0) {
            throw new IllegalArgumentException("no image from %d to %d has label %d (%s): widen the range"
                    .formatted(from, to, label, classNames.get(label)));
        }
        float[] mean = new float[sums.length];
        for (int i = 0; i < mean.length; i++) {
            mean[i] = (float) (sums[i] / (127.5 * found) - 1);
        }
        return mean;
    }

    private static float[] levels() {
        float[] levels = new float[256];
        for (int i = 0; i < levels.length; i++) {
            levels[i] = (float) (i / 127.5 - 1);
        }
        return levels;
    }
}
