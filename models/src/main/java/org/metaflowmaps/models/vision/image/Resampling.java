package org.metaflowmaps.models.vision.image;

import com.google.common.base.Preconditions;

/**
 * Both directions of a resampling.
 *
 * @param columnsFirst whether columns are resampled before rows; the result is rounded between the two
 */
record Resampling(FilterWeights across, FilterWeights down, int oldWidth, int oldHeight, boolean columnsFirst) {
    /** The most rows or columns of a result. */
    static final int MOST_SIDE = 1 << 16;

    /** The most pixels of a result, and of the image between the two directions. */
    private static final long MOST_PIXELS = 1 << 28;

    /** Resizes the whole image. */
    static Resampling of(int oldHeight, int oldWidth, int height, int width, Filter filter) {
        checkSide(height, width);
        return of(
                FilterWeights.of(oldWidth, width, 0, width, filter),
                FilterWeights.of(oldHeight, height, 0, height, filter),
                oldHeight,
                oldWidth,
                height);
    }

    /** Resizes what remains. */
    static Resampling of(int oldHeight, int oldWidth, CropGeometry crop, Filter filter) {
        int size = crop.size();
        checkSide(size, size);
        return of(
                FilterWeights.of(oldWidth, crop.width(), crop.left(), size, filter),
                FilterWeights.of(oldHeight, crop.height(), crop.top(), size, filter),
                oldHeight,
                oldWidth,
                crop.height());
    }

    private static Resampling of(
            FilterWeights across, FilterWeights down, int oldHeight, int oldWidth, long newHeight) {
        // Pillow does so for thin images whose height shrinks, because it saves most of the work.
        boolean columnsFirst = oldHeight > 100L * oldWidth && newHeight < oldHeight;
        long between =
                columnsFirst ? (long) oldWidth * down.count() : (long) across.count() * (down.end() - down.begin());
        long pixels = Math.max(between, (long) across.count() * down.count());
        Preconditions.checkArgument(
                pixels <= MOST_PIXELS,
                "resizing %s x %s pixels to %s x %s needs %s pixels, expected at most %s",
                oldHeight,
                oldWidth,
                down.count(),
                across.count(),
                pixels,
                MOST_PIXELS);
        return new Resampling(across, down, oldWidth, oldHeight, columnsFirst);
    }

    static void checkSide(int height, int width) {
        Preconditions.checkArgument(
                height >= 1 && width >= 1 && height <= MOST_SIDE && width <= MOST_SIDE,
                "new size %s x %s: expected 1 to %s",
                height,
                width,
                MOST_SIDE);
    }

    int height() {
        return down.count();
    }

    int width() {
        return across.count();
    }

    byte[] apply(byte[] plane) {
        if (columnsFirst) {
            return across.across(down.down(plane, oldWidth, 0), 0, down.count());
        }
        return down.down(across.across(plane, down.begin(), down.end()), across.count(), down.begin());
    }

    float[] apply(float[] plane) {
        if (columnsFirst) {
            return across.across(down.down(plane, oldWidth, 0), 0, down.count());
        }
        return down.down(across.across(plane, down.begin(), down.end()), across.count(), down.begin());
    }
}
