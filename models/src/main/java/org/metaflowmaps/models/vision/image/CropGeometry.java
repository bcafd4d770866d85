package org.metaflowmaps.models.vision.image;

import com.google.common.base.Preconditions;

/**
 * How an image is resized by its short side, and which square of it remains.
 *
 * @param height of the resized image
 * @param width of the resized image
 * @param top the first row that remains
 * @param left the first column that remains
 * @param size rows and columns that remain
 */
public record CropGeometry(long height, long width, long top, long left, int size) {
    /** Checks that the square lies in the resized image. */
    public CropGeometry {
        Preconditions.checkArgument(
                size >= 1
                        && height >= size
                        && width >= size
                        && top >= 0
                        && left >= 0
                        && top <= height - size
                        && left <= width - size,
                "a square of %s pixels at row %s, column %s does not lie in an image of %s x %s pixels",
                size,
                top,
                left,
                height,
                width);
    }

    /** torchvision's {@code Resize} and {@code CenterCrop}: the long side is truncated, offsets are rounded to even. */
    public static CropGeometry torchvision(int height, int width, int size) {
        checkSizes(height, width, size);
        int shorter = Math.min(height, width);
        long newHeight = height == shorter ? size : (long) height * size / shorter;
        long newWidth = width == shorter ? size : (long) width * size / shorter;
        return new CropGeometry(
                newHeight,
                newWidth,
                (long) Math.rint((newHeight - size) / 2.0),
                (long) Math.rint((newWidth - size) / 2.0),
                size);
    }

    /**
     * Both sides times size / short side, rounded to even, and offsets rounded down: MFM's preprocessing of CLIP's
     * images, and the last step of ADM's crop.
     */
    public static CropGeometry rounded(int height, int width, int size) {
        checkSizes(height, width, size);
        double scale = size / (double) Math.min(height, width);
        long newHeight = Math.max(size, (long) Math.rint(height * scale));
        long newWidth = Math.max(size, (long) Math.rint(width * scale));
        return new CropGeometry(newHeight, newWidth, (newHeight - size) / 2, (newWidth - size) / 2, size);
    }

    private static void checkSizes(int height, int width, int size) {
        Preconditions.checkArgument(
                height >= 1 && width >= 1 && size >= 1,
                "an image of %s x %s pixels cannot be cropped to size %s: expected at least 1",
                height,
                width,
                size);
    }
}
