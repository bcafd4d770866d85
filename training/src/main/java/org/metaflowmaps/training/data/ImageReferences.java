package org.metaflowmaps.training.data;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Predicate;
import org.metaflowmaps.models.vision.image.ByteImage;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/**
 * Compares the reader of image files with pixels that Pillow reads, for {@code mfm selfcheck}.
 *
 * <p>A file of reference values has the text {@code generator} = {@code imagefiles} and a uint8 array of rows, columns and
 * colours for each image file, which is beside it or in its folder {@code images}. PNG must be equal. The JPEG decoders of
 * JDKs may differ from libjpeg-turbo by 4 levels.
 */
public final class ImageReferences {
    private static final String GENERATOR = "generator";
    private static final String KIND = "imagefiles";
    private static final int MOST_LEVELS = 4;
    private static final double LEVELS = 255;

    private ImageReferences() {}

    /**
     * The result of one image file.
     *
     * @param name the file
     * @param passed whether its pixels are near enough
     * @param error the largest difference, of a range of 1; NaN if nothing was compared
     * @param worst the difference in levels, or the reason
     */
    public record Outcome(String name, boolean passed, double error, String worst) {}

    /**
     * Returns whether a file is one of reference pixels.
     *
     * @throws IOException if it is missing or damaged
     */
    public static boolean isFor(Path file) throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            return KIND.equals(open.metadata().get(GENERATOR));
        }
    }

    /**
     * Compares every image file.
     *
     * @param file the reference values
     * @param only the files to compare, by name
     * @throws IOException if the reference values are missing or damaged
     */
    public static List<Outcome> run(Path file, Predicate<String> only) throws IOException {
        Objects.requireNonNull(only, "run: only is null");
        List<Outcome> outcomes = new ArrayList<>();
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            for (SafetensorsFile.Entry entry : open.entries().values()) {
                if (only.test(entry.name())) {
                    outcomes.add(compared(file, open, entry));
                }
            }
        }
        return outcomes;
    }

    private static Outcome compared(Path file, SafetensorsFile open, SafetensorsFile.Entry entry) throws IOException {
        String name = entry.name();
        if (entry.dtype() != DType.UINT8
                || entry.shape().dim() != 3
                || entry.shape().size(2) != 3
                || entry.shape().numel() == 0) {
            throw new IOException(file + ": " + name + " is " + entry.dtype() + entry.shape()
                    + ", expected uint8 of rows, columns and 3 colours");
        }
        ByteImage image;
        boolean exact;
        try {
            Path own = place(file, name);
            image = ImageFile.read(own, 3);
            exact = ImageKind.of(Files.readAllBytes(own)) == ImageKind.PNG;
        } catch (IOException e) {
            return new Outcome(name, false, Double.NaN, String.valueOf(e.getMessage()));
        }
        int height = (int) entry.shape().size(0);
        int width = (int) entry.shape().size(1);
        if (image.height() != height || image.width() != width) {
            return new Outcome(
                    name,
                    false,
                    Double.NaN,
                    image.height() + " x " + image.width() + " pixels, expected " + height + " x " + width);
        }
        byte[] expected = ByteImage.ofPixels(open.bytes(name).toArray(ValueLayout.JAVA_BYTE), height, width, 3)
                .bytes();
        byte[] found = image.bytes();
        int largest = 0;
        for (int i = 0; i < found.length; i++) {
            largest = Math.max(largest, Math.abs((found[i] & 0xff) - (expected[i] & 0xff)));
        }
        return new Outcome(
                name,
                largest <= (exact ? 0 : MOST_LEVELS),
                largest / LEVELS,
                largest + " levels, at most " + (exact ? 0 : MOST_LEVELS));
    }

    private static Path place(Path file, String name) throws IOException {
        Path plain = Path.of(name).getFileName();
        if (plain == null || !plain.toString().equals(name)) {
            throw new IOException("the name is not that of a file");
        }
        Path inside = file.resolveSibling("images").resolve(name);
        return Files.exists(inside) ? inside : file.resolveSibling(name);
    }
}
