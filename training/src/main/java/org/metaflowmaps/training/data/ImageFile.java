package org.metaflowmaps.training.data;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;
import org.metaflowmaps.models.vision.image.ByteImage;

/**
 * Reads an image file as grey or as red, green and blue bytes, with the pixels of Pillow's {@code convert("RGB")}.
 *
 * <p>Levels are used as stored: transparency is dropped, and a colour profile, a gamma value and an orientation in Exif
 * data are ignored. Grey of 1, 2 and 4 bits is scaled to 0 to 255; grey of 16 bits is clipped at 255; other samples of 16
 * bits keep their high byte. CMYK and YCCK are read as stored inverted, which Adobe's programs do, and become (255 - C)
 * · (255 - K) / 255. Colours become grey by their luma (ITU-R BT.601).
 */
final class ImageFile {
    /** The most pixels to decode, because a small damaged file can claim any number. */
    private static final long MAX_PIXELS = 1 << 26;

    /** The largest file to read: twice the uncompressed size of this many pixels. */
    private static final long MAX_BYTES = 1 << 29;

    /** Matches libjpeg's warnings for truncated or invalid data. */
    private static final Pattern DAMAGE =
            Pattern.compile("premature end|bad Huffman code|instead of RST", Pattern.CASE_INSENSITIVE);

    private ImageFile() {}

    /**
     * Decodes a file.
     *
     * @param channels 1 for grey, 3 for red, green, blue
     * @throws DamagedItemException if the file is not a complete image or cannot be read; the message names it
     * @throws IOException if reading failed for another reason
     * @throws OutOfMemoryError if Java does not have enough memory; the message names the file
     */
    static ByteImage read(Path file, int channels) throws IOException {
        byte[] bytes = bytes(file);
        try {
            PixelRows image = decode(bytes);
            byte[][] planes = new byte[channels][image.width() * image.height()];
            fill(image, planes);
            return ByteImage.of(planes, image.height(), image.width());
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

    private static PixelRows decode(byte[] bytes) throws IOException {
        return switch (ImageKind.of(bytes)) {
            case PNG -> {
                byte[] checked = PngStructure.checked(bytes, MAX_PIXELS);
                yield PixelRows.of(decoded("png", checked, reader -> reader.read(0)));
            }
            case JPEG -> {
                JpegStructure.Checked checked = JpegStructure.checked(bytes, MAX_PIXELS);
                // The stored components, because the decoder's own conversion applies profiles.
                yield new PixelRows.Jpeg(
                        decoded("jpeg", checked.file(), reader -> reader.readRaster(0, null)), checked.colours());
            }
            case UNKNOWN -> throw new IOException("its contents are neither");
            case ImageKind other -> throw new IOException("it is " + other.description());
        };
    }

    /** Reads an image. */
    private interface Decoding<T> {
        T from(ImageReader reader) throws IOException;
    }

    private static <T> T decoded(String format, byte[] bytes, Decoding<T> decoding) throws IOException {
        try (ImageInputStream in = new MemoryCacheImageInputStream(new ByteArrayInputStream(bytes))) {
            ImageReader reader = reader(format);
            try {
                reader.setInput(in, true, true);
                List<String> warnings = new ArrayList<>();
                reader.addIIOReadWarningListener((source, warning) -> warnings.add(warning));
                T image = decoding.from(reader);
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

    /** Returns the JDK's decoder, so that results do not depend on other decoders on the class path. */
    private static ImageReader reader(String format) throws IOException {
        Iterator<ImageReader> readers = ImageIO.getImageReadersByFormatName(format);
        while (readers.hasNext()) {
            ImageReader reader = readers.next();
            if (reader.getClass().getModule().equals(ImageReader.class.getModule())) {
                return reader;
            }
            reader.dispose();
        }
        throw new IOException("this JDK has no decoder for it");
    }

    /** Throws if an image is too large. */
    static void requireAtMost(long most, int width, int height) throws IOException {
        long pixels = (long) width * height;
        if (pixels > most) {
            throw new IOException("it has " + pixels + " pixels, expected at most " + most);
        }
    }

    private static void fill(PixelRows image, byte[][] planes) {
        int width = image.width();
        int[][] rgb = new int[3][width];
        for (int y = 0; y < image.height(); y++) {
            image.read(y, rgb);
            for (int x = 0; x < width; x++) {
                int at = y * width + x;
                if (planes.length == 1) {
                    planes[0][at] = (byte) luma(rgb[0][x], rgb[1][x], rgb[2][x]);
                } else {
                    planes[0][at] = (byte) rgb[0][x];
                    planes[1][at] = (byte) rgb[1][x];
                    planes[2][at] = (byte) rgb[2][x];
                }
            }
        }
    }

    /** 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point, the weights of which sum to 1. */
    private static int luma(int red, int green, int blue) {
        return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    }
}
