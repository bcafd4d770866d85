package org.metaflowmaps.cli.report;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.Channels;
import java.nio.file.Path;
import java.util.Locale;
import javax.imageio.ImageIO;
import org.metaflowmaps.runtime.file.AtomicFile;

/** Writes images as PNG files; needs no display. */
public final class Png {
    static {
        // Without it ImageIO writes a temporary file for each image encoded in memory.
        ImageIO.setUseCache(false);
    }

    private Png() {}

    /** Encodes an image. */
    static byte[] encode(BufferedImage image) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try {
            if (!ImageIO.write(image, "png", out)) {
                throw new IllegalArgumentException(
                        "an image of type " + image.getType() + " cannot be a PNG file: draw it into RGB");
            }
        } catch (IOException e) {
            throw new UncheckedIOException("encoding a PNG in memory failed", e);
        }
        return out.toByteArray();
    }

    /** Throws if a picture's file name does not end in .png. */
    public static void checkName(Path file) {
        if (!file.toString().toLowerCase(Locale.ROOT).endsWith(".png")) {
            throw new IllegalArgumentException(
                    "--out " + file + ": pictures are PNG files, give a name that ends in .png");
        }
    }

    /**
     * Writes a PNG file atomically.
     *
     * @throws IOException if the file cannot be written
     */
    public static void write(BufferedImage image, Path file) throws IOException {
        byte[] png = encode(image);
        AtomicFile.write(
                file, png.length, channel -> Channels.newOutputStream(channel).write(png));
    }
}
