package org.metaflowmaps.models.vision.image;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** An image of float32 numbers, channel by channel, row by row, with the resizing of Pillow's mode F. */
public final class FloatImage {
    private final float[][] planes;
    private final int height;
    private final int width;

    private FloatImage(float[][] planes, int height, int width) {
        this.planes = planes;
        this.height = height;
        this.width = width;
    }

    /**
     * Makes an image over arrays, which are not copied.
     *
     * @param planes one array per channel, each of height · width numbers
     * @throws IllegalArgumentException if there is no channel or pixel, or an array has another length
     */
    public static FloatImage of(float[][] planes, int height, int width) {
        Preconditions.checkArgument(
                planes.length > 0 && height > 0 && width > 0,
                "an image of %s channels and %s x %s pixels: expected at least 1 of each",
                planes.length,
                height,
                width);
        for (float[] plane : planes) {
            Preconditions.checkArgument(
                    plane.length == (long) height * width,
                    "a channel has %s numbers, expected %s x %s",
                    plane.length,
                    height,
                    width);
        }
        return new FloatImage(planes, height, width);
    }

    /** Returns the number of rows. */
    public int height() {
        return height;
    }

    /** Returns the number of columns. */
    public int width() {
        return width;
    }

    /** Returns a float32 tensor (channels, height, width) on the CPU, in the innermost open scope. */
    public Tensor tensor() {
        float[] all = new float[planes.length * height * width];
        for (int i = 0; i < planes.length; i++) {
            System.arraycopy(planes[i], 0, all, i * height * width, height * width);
        }
        return Torch.of(all, planes.length, height, width);
    }

    /**
     * Resizes as Pillow's {@code Image.resize} does in mode F: float64 weights and sums, float32 between the directions.
     *
     * @throws IllegalArgumentException unless the new sizes are 1 to 65,536
     */
    public FloatImage resize(int newHeight, int newWidth, Filter filter) {
        Resampling resampling = Resampling.of(height, width, newHeight, newWidth, filter);
        float[][] results = Arrays.stream(planes).map(resampling::apply).toArray(float[][]::new);
        return new FloatImage(results, newHeight, newWidth);
    }

    /**
     * Resizes levels from 0 to 255 as clean-fid does (Parmar et al., arXiv 2104.11222): by the cubic filter, clipped to 0
     * to 255, without rounding to levels.
     */
    public FloatImage cleanFid(int newHeight, int newWidth) {
        FloatImage resized = resize(newHeight, newWidth, Filter.BICUBIC);
        for (float[] plane : resized.planes) {
            for (int i = 0; i < plane.length; i++) {
                plane[i] = Math.clamp(plane[i], 0f, 255f);
            }
        }
        return resized;
    }
}
