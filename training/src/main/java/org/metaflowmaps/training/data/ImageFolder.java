package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.function.Supplier;
import org.metaflowmaps.models.vision.image.ByteImage;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;

/**
 * PNG and JPEG files in one subfolder per class, in [-1, 1].
 *
 * <p>Classes are numbered by the order of their folders' names, files by theirs, both by code units. Hidden files,
 * files not ending in .png, .jpg or .jpeg, folders inside class folders and empty class folders are skipped and
 * counted. Images are resized by their short side and cropped to the middle, as in guided-diffusion. Grey, palettes,
 * 16 bits and CMYK are supported; transparency, profiles and an orientation in Exif data are ignored. Only names are kept
 * in memory. Held-out images are chosen by name, with each class in proportion.
 */
public final class ImageFolder implements Items {
    private final ImageTree images;
    private final int size;
    private final int channels;
    private final SquareCrop crop;

    /**
     * Lists all images of a folder, to crop them by {@link SquareCrop#ADM}.
     *
     * @param folder holds one folder per class
     * @param size rows and columns of an item, at least 1
     * @param channels of an item: 1 for grey, 3 for red, green, blue
     * @throws IOException if the folder cannot be listed, has no subfolder with an image, or has a subfolder with other
     *     files only
     */
    public ImageFolder(Path folder, int size, int channels) throws IOException {
        this(folder, size, channels, SquareCrop.ADM);
    }

    /**
     * Lists all images of a folder.
     *
     * @param crop how an image becomes a square
     * @throws IOException as for the other constructor
     */
    public ImageFolder(Path folder, int size, int channels, SquareCrop crop) throws IOException {
        Preconditions.checkNotNull(crop, "images: the crop is null");
        Preconditions.checkArgument(size >= 1, "images of size %s, expected at least 1", size);
        Preconditions.checkArgument(
                channels == 1 || channels == 3, "images of %s channels, expected 1 (grey) or 3 (colour)", channels);
        this.size = size;
        this.channels = channels;
        this.crop = crop;
        this.images = new ImageTree(folder);
    }

    /** Opens the folder of a configuration. */
    static ImageFolder open(DataConfig config) throws IOException {
        return new ImageFolder(config.path(), config.size(), config.knownChannels(), config.crop());
    }

    @Override
    public int count() {
        return images.count();
    }

    @Override
    public Shape itemShape() {
        return Shape.of(channels, size, size);
    }

    @Override
    public int classes() {
        return images.classNames().size();
    }

    @Override
    public List<String> classNames() {
        return images.classNames();
    }

    @Override
    public int label(int index) {
        return images.labels()[Objects.checkIndex(index, images.count())];
    }

    @Override
    public DType storedType() {
        return DType.UINT8;
    }

    @Override
    public void read(int index, MemorySegment row) throws IOException {
        ByteImage image = ImageFile.read(images.file(Objects.checkIndex(index, images.count())), channels);
        row.copyFrom(MemorySegment.ofArray(crop.of(image, size).bytes()));
    }

    @Override
    public Tensor decode(Tensor stored, Supplier<Tensor> noise) {
        return ImageData.normalised(stored);
    }

    @Override
    public void requireMirrorable() {
        // Mirrored images are valid items.
    }

    @Override
    public int[] heldOut(int count) {
        return HoldOut.chosen(this, count, images::key);
    }

    @Override
    public String summary(int heldOut) {
        return images.summary(heldOut);
    }
}
