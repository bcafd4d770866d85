package org.metaflowmaps.training.data;

import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.ComponentColorModel;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;

/**
 * Reads an image file as grey or as red, green and blue bytes.
 *
 * <p>Grey levels, and a PNG's red, green and blue, are used as stored; a colour profile is ignored. A JPEG's decoder
 * converts colours with a profile to sRGB, and CMYK is converted. Colours become grey by their luma (ITU-R BT.601).
 * Transparent pixels are drawn on white. An orientation in Exif data is ignored.
 */
final class ImageFile {
    /** The most pixels to decode, because a small damaged file can claim any number. */
    private static final long MAX_PIXELS = 1 << 26;

    /** The largest file to read: twice the uncompressed size of this many pixels. */
    private static final long MAX_BYTES = 1 << 29;

    /** Matches libjpeg's warnings for truncated or invalid data. */
    private static final Pattern DAMAGE =
            Pattern.compile("premature end|bad Huffman code|instead of RST", Pattern.CASE_INSENSITIVE);

    private static final int BYTE = 255;

    private ImageFile() {}

    /**
     * Decodes a file.
     *
     * @param channels 1 for grey, 3 for red, green, blue
     * @throws DamagedItemException if the file is not a complete image or cannot be read; the message names it
     * @throws IOException if reading failed for another reason
     * @throws OutOfMemoryError if Java does not have enough memory; the message names the file
     */
    static Planes read(Path file, int channels) throws IOException {
        byte[] bytes = bytes(file);
        try {
            BufferedImage image = decode(bytes);
            byte[][] planes = new byte[channels][image.getWidth() * image.getHeight()];
            fill(image, planes);
            return new Planes(planes, image.getWidth(), image.getHeight());
        } catch (IOException | RuntimeException e) {
            // Decoders throw many kinds of exceptions for damaged files.
            throw new DamagedItemException(
                    file + " cannot be read as a PNG or JPEG image (" + e.getMessage()
                            + "): convert, repair or remove it",
                    e);
        } catch (OutOfMemoryError e) {
            throw outOfMemory(file, e);
        }
    }

    private static byte[] bytes(Path file) throws IOException {
        long size;
        try {
            size = Files.size(file);
            if (size <= MAX_BYTES) {
                return Files.readAllBytes(file);
            }
        } catch (NoSuchFileException e) {
            throw new DamagedItemException(
                    file + " was there when its folder was listed, but does not exist now: restore it", e);
        } catch (AccessDeniedException e) {
            throw new DamagedItemException(file + " may not be read: no permission", e);
        } catch (IOException e) {
            throw new IOException(file + " could not be read (" + e.getMessage() + ")", e);
        }
        throw new DamagedItemException(
                file + " has " + size + " bytes, expected an image of at most " + MAX_BYTES + ": remove it");
    }

    private static OutOfMemoryError outOfMemory(Path file, OutOfMemoryError cause) {
        OutOfMemoryError named =
                new OutOfMemoryError(file + " needs more memory to be decoded than Java has left of its "
                        + Runtime.getRuntime().maxMemory() / (1 << 20)
                        + " MiB: give it more (-Xmx), lower data.workers, or shrink the image");
        named.initCause(cause);
        return named;
    }

    private static BufferedImage decode(byte[] bytes) throws IOException {
        byte[] checked = switch (ImageKind.of(bytes)) {
            case PNG -> PngStructure.checked(bytes, MAX_PIXELS);
            case JPEG -> JpegStructure.checked(bytes, MAX_PIXELS);
            case UNKNOWN -> throw new IOException("its contents are neither");
            case ImageKind other -> throw new IOException("it is " + other.description());
        };
        try (ImageInputStream in = new MemoryCacheImageInputStream(new ByteArrayInputStream(checked))) {
            Iterator<ImageReader> readers = ImageIO.getImageReaders(in);
            if (!readers.hasNext()) {
                throw new IOException("this JDK has no decoder for it");
            }
            ImageReader reader = readers.next();
            try {
                reader.setInput(in, true, true);
                List<String> warnings = new ArrayList<>();
                reader.addIIOReadWarningListener((source, warning) -> warnings.add(warning));
                BufferedImage image = reader.read(0);
                // The decoder fills missing parts with grey and only warns.
                if (warnings.stream()
                        .anyMatch(warning -> DAMAGE.matcher(warning).find())) {
                    throw new IOException("its data is damaged or ends early");
                }
                return image;
            } finally {
                reader.dispose();
            }
        }
    }

    /** Throws if an image is too large. */
    static void requireAtMost(long most, int width, int height) throws IOException {
        long pixels = (long) width * height;
        if (pixels > most) {
            throw new IOException("it has " + pixels + " pixels, expected at most " + most);
        }
    }

    private static void fill(BufferedImage image, byte[][] planes) {
        ColorModel model = image.getColorModel();
        int kind = model.getColorSpace().getType();
        // Do not use Java's conversion: it treats grey levels as linear light and lightens them, and it applies a
        // colour profile to every pixel.
        boolean plain =
                model instanceof ComponentColorModel && (kind == ColorSpace.TYPE_GRAY || kind == ColorSpace.TYPE_RGB);
        Rows rows = plain ? new Rows.Samples(image.getRaster(), model) : new Rows.Colours(image);
        int width = image.getWidth();
        int[][] rgba = new int[4][width];
        for (int y = 0; y < image.getHeight(); y++) {
            rows.read(y, rgba);
            for (int x = 0; x < width; x++) {
                int alpha = rgba[3][x];
                int red = onWhite(rgba[0][x], alpha);
                int green = onWhite(rgba[1][x], alpha);
                int blue = onWhite(rgba[2][x], alpha);
                int at = y * width + x;
                if (planes.length == 1) {
                    planes[0][at] = (byte) luma(red, green, blue);
                } else {
                    planes[0][at] = (byte) red;
                    planes[1][at] = (byte) green;
                    planes[2][at] = (byte) blue;
                }
            }
        }
    }

    private static int onWhite(int level, int alpha) {
        return (level * alpha + BYTE * (BYTE - alpha) + BYTE / 2) / BYTE;
    }

    /** 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point, the weights of which sum to 1. */
    private static int luma(int red, int green, int blue) {
        return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    }

    /** Reads rows of pixels as red, green, blue and alpha from 0 to 255. */
    private sealed interface Rows {
        void read(int y, int[][] rgba);

        /** Reads samples as stored. */
        record Samples(Raster raster, ColorModel model) implements Rows {
            @Override
            public void read(int y, int[][] rgba) {
                int colours = model.getNumColorComponents();
                for (int band = 0; band < 4; band++) {
                    if (band == 3 && !model.hasAlpha()) {
                        Arrays.fill(rgba[3], BYTE);
                        continue;
                    }
                    int source = band == 3 ? colours : Math.min(band, colours - 1);
                    raster.getSamples(raster.getMinX(), raster.getMinY() + y, raster.getWidth(), 1, source, rgba[band]);
                    scale(rgba[band], (1 << model.getComponentSize(source)) - 1);
                }
            }

            private static void scale(int[] levels, int top) {
                for (int i = 0; top != BYTE && i < levels.length; i++) {
                    levels[i] = (int) ((levels[i] * (long) BYTE + top / 2) / top);
                }
            }
        }

        /** Reads palettes, and other images that need a conversion. */
        record Colours(BufferedImage image) implements Rows {
            @Override
            public void read(int y, int[][] rgba) {
                int[] row = image.getRGB(0, y, image.getWidth(), 1, null, 0, image.getWidth());
                for (int x = 0; x < row.length; x++) {
                    rgba[0][x] = row[x] >> 16 & BYTE;
                    rgba[1][x] = row[x] >> 8 & BYTE;
                    rgba[2][x] = row[x] & BYTE;
                    rgba[3][x] = row[x] >>> 24;
                }
            }
        }
    }
}
