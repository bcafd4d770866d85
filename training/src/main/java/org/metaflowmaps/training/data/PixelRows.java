package org.metaflowmaps.training.data;

import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.ComponentColorModel;
import java.awt.image.Raster;

/** Rows of a decoded image as red, green and blue from 0 to 255. */
sealed interface PixelRows {
    int BYTE = 255;

    int width();

    int height();

    /** Reads a row; {@code rgb} has a row of numbers for each colour. */
    void read(int y, int[][] rgb);

    /** Returns the rows of an image that a PNG decoder made. */
    static PixelRows of(BufferedImage image) {
        ColorModel model = image.getColorModel();
        int kind = model.getColorSpace().getType();
        // Do not use Java's conversion: it treats grey levels as linear light and lightens them.
        boolean plain =
                model instanceof ComponentColorModel && (kind == ColorSpace.TYPE_GRAY || kind == ColorSpace.TYPE_RGB);
        return plain ? new Samples(image.getRaster(), model) : new Palette(image);
    }

    /** Reads a PNG's samples as stored; those of 16 bits as Pillow does. */
    record Samples(Raster raster, ColorModel model) implements PixelRows {
        @Override
        public int width() {
            return raster.getWidth();
        }

        @Override
        public int height() {
            return raster.getHeight();
        }

        @Override
        public void read(int y, int[][] rgb) {
            int last = model.getNumColorComponents() - 1;
            boolean clipped = last == 0 && !model.hasAlpha();
            for (int band = 0; band < 3; band++) {
                int source = Math.min(band, last);
                raster.getSamples(raster.getMinX(), raster.getMinY() + y, width(), 1, source, rgb[band]);
                if (model.getComponentSize(source) == 16) {
                    for (int x = 0; x < rgb[band].length; x++) {
                        rgb[band][x] = clipped ? Math.min(rgb[band][x], BYTE) : rgb[band][x] >> 8;
                    }
                }
            }
        }
    }

    /** Reads a PNG's palette, also that of grey with few bits. */
    record Palette(BufferedImage image) implements PixelRows {
        @Override
        public int width() {
            return image.getWidth();
        }

        @Override
        public int height() {
            return image.getHeight();
        }

        @Override
        public void read(int y, int[][] rgb) {
            int[] row = image.getRGB(0, y, width(), 1, null, 0, width());
            for (int x = 0; x < row.length; x++) {
                rgb[0][x] = (row[x] >> 16) & BYTE;
                rgb[1][x] = (row[x] >> 8) & BYTE;
                rgb[2][x] = row[x] & BYTE;
            }
        }
    }

    /** Converts a JPEG's components with libjpeg's fixed-point numbers. */
    record Jpeg(Raster raster, JpegColours.Kind colours) implements PixelRows {
        private static final int HALF = 1 << 15;

        @Override
        public int width() {
            return raster.getWidth();
        }

        @Override
        public int height() {
            return raster.getHeight();
        }

        @Override
        public void read(int y, int[][] rgb) {
            int bands = raster.getNumBands();
            for (int band = 0; band < 3; band++) {
                raster.getSamples(
                        raster.getMinX(), raster.getMinY() + y, width(), 1, Math.min(band, bands - 1), rgb[band]);
            }
            switch (colours) {
                case GREY, RGB -> {}
                case YCBCR -> fromYCbCr(rgb);
                case CMYK -> withBlack(y, rgb);
                case YCCK -> {
                    fromYCbCr(rgb);
                    for (int[] row : rgb) {
                        for (int x = 0; x < row.length; x++) {
                            row[x] = BYTE - row[x];
                        }
                    }
                    withBlack(y, rgb);
                }
            }
        }

        private static void fromYCbCr(int[][] rgb) {
            for (int x = 0; x < rgb[0].length; x++) {
                int luma = rgb[0][x];
                int blue = rgb[1][x] - 128;
                int red = rgb[2][x] - 128;
                rgb[0][x] = level(luma + ((91881 * red + HALF) >> 16));
                rgb[1][x] = level(luma + ((-22554 * blue - 46802 * red + HALF) >> 16));
                rgb[2][x] = level(luma + ((116130 * blue + HALF) >> 16));
            }
        }

        private static int level(int value) {
            return Math.clamp(value, 0, BYTE);
        }

        /** Multiplies stored, inverted inks by inverted black, and rounds as Pillow does. */
        private void withBlack(int y, int[][] rgb) {
            int[] black = raster.getSamples(raster.getMinX(), raster.getMinY() + y, width(), 1, 3, (int[]) null);
            for (int[] row : rgb) {
                for (int x = 0; x < row.length; x++) {
                    int product = (BYTE - row[x]) * black[x] + 128;
                    row[x] = level(black[x] - (((product >> 8) + product) >> 8));
                }
            }
        }
    }
}
