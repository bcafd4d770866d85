package org.metaflowmaps.models.vision.image;

import com.google.common.base.Preconditions;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * An image of unsigned bytes, channel by channel, row by row, with Pillow's resizing.
 *
 * <p>Results equal those of Pillow 12.3 in every bit: integer weights, rows first except for thin images, rounding to
 * bytes between the directions. Pillow 13 begins with columns for some sizes and then differs by one or two levels.
 */
public final class ByteImage {
    private final byte[][] planes;
    private final int height;
    private final int width;

    private ByteImage(byte[][] planes, int height, int width) {
        this.planes = planes;
        this.height = height;
        this.width = width;
    }

    /**
     * Makes an image over arrays, which are not copied.
     *
     * @param planes one array per channel, each of height · width bytes
     * @throws IllegalArgumentException if there is no channel or pixel, or an array has another length
     */
    public static ByteImage of(byte[][] planes, int height, int width) {
        Preconditions.checkArgument(
                planes.length > 0 && height > 0 && width > 0,
                "an image of %s channels and %s x %s pixels: expected at least 1 of each",
                planes.length,
                height,
                width);
        for (byte[] plane : planes) {
            Preconditions.checkArgument(
                    plane.length == (long) height * width,
                    "a channel has %s bytes, expected %s x %s",
                    plane.length,
                    height,
                    width);
        }
        return new ByteImage(planes, height, width);
    }

    /**
     * Copies pixels whose channels lie next to each other, as in NumPy's images.
     *
     * @param pixels height · width · channels bytes
     * @throws IllegalArgumentException if there is no channel or pixel, or the array has another length
     */
    public static ByteImage ofPixels(byte[] pixels, int height, int width, int channels) {
        Preconditions.checkArgument(
                channels > 0 && height > 0 && width > 0 && pixels.length == (long) height * width * channels,
                "%s bytes for %s x %s pixels of %s channels: expected their product, and at least 1 of each",
                pixels.length,
                height,
                width,
                channels);
        byte[][] planes = new byte[channels][height * width];
        for (int i = 0; i < pixels.length; i++) {
            planes[i % channels][i / channels] = pixels[i];
        }
        return new ByteImage(planes, height, width);
    }

    /** Returns the number of channels. */
    public int channels() {
        return planes.length;
    }

    /** Returns the number of rows. */
    public int height() {
        return height;
    }

    /** Returns the number of columns. */
    public int width() {
        return width;
    }

    /** Returns a copy of all bytes: channels, rows, columns. */
    public byte[] bytes() {
        byte[] all = new byte[planes.length * height * width];
        for (int i = 0; i < planes.length; i++) {
            System.arraycopy(planes[i], 0, all, i * height * width, height * width);
        }
        return all;
    }

    /** Returns the bytes as a uint8 tensor (channels, height, width) on the CPU, in the innermost open scope. */
    public Tensor tensor() {
        return Torch.copyOf(MemorySegment.ofArray(bytes()), DType.UINT8, channels(), height, width);
    }

    /** Returns the levels 0 to 255 as float32 numbers. */
    public FloatImage floats() {
        float[][] numbers = new float[planes.length][height * width];
        for (int i = 0; i < planes.length; i++) {
            for (int j = 0; j < numbers[i].length; j++) {
                numbers[i][j] = planes[i][j] & 0xff;
            }
        }
        return FloatImage.of(numbers, height, width);
    }

    /**
     * Resizes as Pillow's {@code Image.resize} does without a reducing gap.
     *
     * @throws IllegalArgumentException unless the new sizes are 1 to 65,536
     */
    public ByteImage resize(int newHeight, int newWidth, Filter filter) {
        return resampled(Resampling.of(height, width, newHeight, newWidth, filter));
    }

    /** Resizes and cuts out the square, without computing what is cut off. */
    public ByteImage resizeCrop(CropGeometry geometry, Filter filter) {
        return resampled(Resampling.of(height, width, geometry, filter));
    }

    /**
     * Resizes the short side and returns the middle square, as torchvision's {@code Resize} and {@code CenterCrop} do
     * with a Pillow image.
     */
    public ByteImage torchvisionCrop(int size, Filter filter) {
        return resizeCrop(CropGeometry.torchvision(height, width, size), filter);
    }

    /**
     * Returns the middle square as guided-diffusion's {@code center_crop_arr} does (Dhariwal and Nichol, arXiv
     * 2105.05233): halves the image by boxes while its short side is at least twice the size, then resizes by the cubic
     * filter. The usual ImageNet latents were made so.
     */
    public ByteImage admCrop(int size) {
        CropGeometry.rounded(height, width, size); // refuses sizes below 1
        ByteImage image = this;
        while (Math.min(image.width, image.height) >= 2L * size) {
            image = image.resize(image.height / 2, image.width / 2, Filter.BOX);
        }
        return image.resizeCrop(CropGeometry.rounded(image.height, image.width, size), Filter.BICUBIC);
    }

    private ByteImage resampled(Resampling resampling) {
        byte[][] results = Arrays.stream(planes).map(resampling::apply).toArray(byte[][]::new);
        return new ByteImage(results, resampling.height(), resampling.width());
    }
}
