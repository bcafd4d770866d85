package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FashionMnistTest {
    @Test
    void testSetIsTheOneThatIsKnown() {
        LabelledImages images = FashionMnist.test();
        assertEquals(10_000, images.count());
        assertEquals(28 * 28, images.imageSize());
        assertArrayEquals(new int[] {9, 2, 1, 1, 6, 1, 4, 6, 5, 7}, labels(images, 10));
        assertEvenClasses(images);
    }

    @Test
    void trainingSetHasItsKnownStatistics() throws IOException {
        Optional<Path> folder = FashionMnist.installedFolder();
        assumeTrue(folder.isPresent(), "the package dataset-fashion-mnist is not installed");
        LabelledImages images = FashionMnist.train(folder.orElseThrow());
        assertEquals(60_000, images.count());
        assertArrayEquals(new int[] {9, 0, 0, 3, 0, 2, 7, 2, 5, 5}, labels(images, 10));
        assertEvenClasses(images);
        // The mean and deviation used in the literature for normalisation.
        double sum = 0;
        double squares = 0;
        byte[] pixels = images.pixels().toArray(ValueLayout.JAVA_BYTE);
        for (byte pixel : pixels) {
            double value = (pixel & 0xff) / 255.0;
            sum += value;
            squares += value * value;
        }
        double mean = sum / pixels.length;
        assertEquals(0.2860, mean, 1e-4);
        assertEquals(0.3530, Math.sqrt(squares / pixels.length - mean * mean), 1e-4);
    }

    @Test
    void readsEitherNaming(@TempDir Path folder) throws IOException {
        byte[] pixels = new byte[2 * 28 * 28];
        pixels[28 * 28] = (byte) 255;
        Files.write(folder.resolve("train-images-idx3-ubyte"), IdxTest.idx(pixels, 2, 28, 28));
        Files.write(folder.resolve("train-labels-idx1-ubyte.gz"), IdxTest.gzip(IdxTest.idx(new byte[] {3, 9}, 2)));
        LabelledImages images = FashionMnist.train(folder);
        assertArrayEquals(new int[] {3, 9}, labels(images, 2));
        float[] second = new float[28 * 28];
        images.normalised(1, second, 0);
        assertEquals(1f, second[0]);
    }

    @Test
    void missingFilesAreNamedWithTheRemedy(@TempDir Path folder) throws IOException {
        Files.write(folder.resolve("train-images-idx3-ubyte"), IdxTest.idx(new byte[28 * 28], 1, 28, 28));
        String labels = messageOf(FileNotFoundException.class, folder);
        assertTrue(
                labels.contains("train-labels-idx1-ubyte.gz")
                        && labels.contains("dataset-fashion-mnist")
                        && labels.contains("--data"),
                labels);
        String nowhere = messageOf(FileNotFoundException.class, folder.resolve("none"));
        assertTrue(nowhere.contains("none is not a folder"), nowhere);
    }

    @Test
    void otherDataIsRefused(@TempDir Path folder) throws IOException {
        Path images = folder.resolve("train-images-idx3-ubyte");
        Path labels = folder.resolve("train-labels-idx1-ubyte");
        Files.write(images, IdxTest.idx(new byte[2 * 32 * 32], 2, 32, 32));
        Files.write(labels, IdxTest.idx(new byte[2], 2));
        assertTrue(messageOf(IdxException.class, folder).contains("images of 32 x 32, expected 28 x 28"));
        Files.write(images, IdxTest.idx(new byte[3 * 28 * 28], 3, 28, 28));
        assertTrue(messageOf(IdxException.class, folder).contains("labels of shape [2]"));
        Files.write(labels, IdxTest.idx(new byte[] {0, 10, 1}, 3));
        assertTrue(messageOf(IdxException.class, folder).contains("label 10 of image 1"));
    }

    @Test
    void licenceLiesBesideTheImages() {
        assertNotNull(FashionMnist.class.getResource("fashion-mnist/LICENSE.txt"));
    }

    private static String messageOf(Class<? extends IOException> type, Path folder) {
        return String.valueOf(
                assertThrows(type, () -> FashionMnist.train(folder)).getMessage());
    }

    private static int[] labels(LabelledImages images, int count) {
        return IntStream.range(0, count).map(images::label).toArray();
    }

    private static void assertEvenClasses(LabelledImages images) {
        int[] counts = new int[10];
        IntStream.range(0, images.count()).forEach(i -> counts[images.label(i)]++);
        for (int count : counts) {
            assertEquals(images.count() / 10, count);
        }
    }
}
