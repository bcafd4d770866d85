package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.models.vision.image.ByteImage;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/**
 * Compares with the pixels that Pillow 12.3 reads. JPEGs are equal too, because the JDK's libjpeg 6b and libjpeg-turbo
 * compute the same integers.
 */
final class ImagePixelsTest {
    @TempDir
    private Path folder = Path.of("");

    private Path file(String folderName, String name) throws IOException {
        try (InputStream in = ImagePixelsTest.class.getResourceAsStream(folderName + "/" + name)) {
            return Files.write(
                    folder.resolve(name), Objects.requireNonNull(in, name).readAllBytes());
        }
    }

    private static int largestDifference(byte[] expected, byte[] result) {
        assertEquals(expected.length, result.length);
        int largest = 0;
        for (int i = 0; i < result.length; i++) {
            largest = Math.max(largest, Math.abs((result[i] & 0xff) - (expected[i] & 0xff)));
        }
        return largest;
    }

    /** {@code images.safetensors} has an array of rows, columns and colours for each file. */
    @Test
    void pixelsArePillows() throws IOException {
        try (SafetensorsFile arrays = SafetensorsFile.open(file("pixels", "images.safetensors"));
                TensorScope scope = TensorScope.open()) {
            assertEquals(31, arrays.entries().size());
            for (String name : arrays.entries().keySet()) {
                Tensor array = arrays.view(name);
                long[] levels = array.toLongArray();
                byte[] bytes = new byte[levels.length];
                for (int i = 0; i < bytes.length; i++) {
                    bytes[i] = (byte) levels[i];
                }
                ByteImage expected = ByteImage.ofPixels(bytes, (int) array.size(0), (int) array.size(1), 3);
                ByteImage image = ImageFile.read(file("pixels", name), 3);
                assertEquals(expected.height(), image.height(), name);
                assertEquals(0, largestDifference(expected.bytes(), image.bytes()), name);
            }
            assertTrue(scope.size() > 0);
        }
    }

    /** Results of Pillow 12.3 by guided-diffusion's rule, stored as channels, rows, columns. */
    @ParameterizedTest
    @CsvSource({
        "colours.png,9,RGB",
        "colours.png,24,L",
        "colours.png,50,RGB",
        "cmyk.jpg,16,RGB",
        "progressive.jpg,20,RGB"
    })
    void croppingIsPillows(String name, int size, String mode) throws IOException {
        byte[] expected = Files.readAllBytes(file("pictures", name + "." + size + "." + mode));
        byte[] result = ImageFile.read(file("pictures", name), mode.length())
                .admCrop(size)
                .bytes();
        assertEquals(0, largestDifference(expected, result));
    }
}
