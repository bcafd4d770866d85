package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;

final class ImageFolderTest {
    /** Files in the order of their numbers. */
    private static final List<String> FILES =
            List.of("B/2.png", "a/1.jpg", "a/10.JPEG", "a/9.PNG", "b/x.png", "b/y.png", "b/z.png");

    private static final int[] LABELS = {0, 1, 1, 1, 2, 2, 2};
    private static final int SIZE = 6;

    @TempDir
    private static Path folder = Path.of("");

    @TempDir
    private Path other = Path.of("");

    /** An image whose level is its number. */
    private static void write(Path file, int level) throws IOException {
        Files.createDirectories(file.getParent());
        BufferedImage image = new BufferedImage(20 + level % 3, 15 + level % 5, BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < image.getHeight(); y++) {
            for (int x = 0; x < image.getWidth(); x++) {
                image.setRGB(x, y, level << 16 | level << 8 | level);
            }
        }
        assertTrue(ImageIO.write(
                image, file.toString().toLowerCase(Locale.ROOT).endsWith("png") ? "png" : "jpg", file.toFile()));
    }

    @BeforeAll
    static void write() throws IOException {
        for (int i = 0; i < FILES.size(); i++) {
            write(folder.resolve(FILES.get(i)), 40 * i);
        }
        // None of these is an item.
        write(folder.resolve("a/.hidden.png"), 1);
        write(folder.resolve(".cache/1.png"), 1);
        write(folder.resolve("loose.png"), 1);
        Files.writeString(folder.resolve("a/notes.txt"), "not an image");
    }

    private static Loader open(int channels, int workers) throws IOException {
        return new Loader(new ImageFolder(folder, SIZE, channels), 5, Reading.of(workers), Device.CPU);
    }

    /** Returns the numbers of a batch's images, from their levels, after checking the labels. */
    private static int[] numbers(TrainingData data, long position, int count) {
        try (TensorScope scope = TensorScope.open()) {
            TrainingData.Batch batch = data.batch(position, count);
            float[] items = batch.items().toFloatArray();
            int size = items.length / count;
            int[] numbers = new int[count];
            for (int i = 0; i < count; i++) {
                numbers[i] = Math.round((items[i * size] + 1) * 127.5f / 40);
                for (int j = 0; j < size; j++) {
                    assertEquals(40 * numbers[i] / 127.5 - 1, items[i * size + j], 2.5 / 127.5, "one level throughout");
                }
                assertEquals(LABELS[numbers[i]], batch.labels().toLongArray()[i]);
            }
            return numbers;
        }
    }

    @Test
    void classesAndFilesComeInTheOrderOfTheirNames() throws IOException {
        try (Loader data = open(3, 0);
                EpochOrder order = new EpochOrder(FILES.size(), 5, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            assertEquals(List.of("B", "a", "b"), data.classNames());
            assertEquals(3, data.classes());
            assertEquals(FILES.size(), data.count());
            assertEquals(Shape.of(3, SIZE, SIZE), data.itemShape());
            assertEquals(Shape.of(20, 3, SIZE, SIZE), data.batch(3, 20).items().shape());
            int[] expected = Arrays.stream(order.indices(3, 20).toLongArray())
                    .mapToInt(Math::toIntExact)
                    .toArray();
            assertArrayEquals(expected, numbers(data, 3, 20));
        }
    }

    /**
     * The same images in memory give the same batches, bit for bit, for any number of threads and start of the stream.
     */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 3})
    void batchesAreThoseOfTheSameImagesInMemory(int workers) throws IOException {
        byte[] pixels = new byte[FILES.size() * SIZE * SIZE];
        byte[] labels = new byte[FILES.size()];
        for (int i = 0; i < FILES.size(); i++) {
            System.arraycopy(
                    ImageFile.read(folder.resolve(FILES.get(i)), 1)
                            .admCrop(SIZE)
                            .bytes(),
                    0,
                    pixels,
                    i * SIZE * SIZE,
                    SIZE * SIZE);
            labels[i] = (byte) LABELS[i];
        }
        LabelledImages images = new LabelledImages(pixels, 1, SIZE, SIZE, labels, List.of("B", "a", "b"));
        try (Loader memory = new Loader(new ImageData(images), 5, Reading.of(0), Device.CPU);
                Loader files = open(1, workers)) {
            for (long position : new long[] {0, 4, 8, 12, 3, 1_000_000, 1_000_004, 0}) {
                try (TensorScope scope = TensorScope.open()) {
                    TrainingData.Batch expected = memory.batch(position, 4);
                    TrainingData.Batch batch = files.batch(position, 4);
                    assertArrayEquals(
                            expected.items().toFloatArray(), batch.items().toFloatArray(), "from " + position);
                    assertArrayEquals(
                            expected.labels().toLongArray(), batch.labels().toLongArray(), "from " + position);
                }
            }
        }
    }

    @Test
    void blackAndWhiteSpanTheRange() throws IOException {
        write(other.resolve("c/black.png"), 0);
        write(other.resolve("c/white.png"), 255);
        try (Loader data = new Loader(new ImageFolder(other, 2, 3), 1, Reading.of(1), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            float[] items = data.batch(0, 2).items().toFloatArray();
            Arrays.sort(items);
            float[] expected = new float[24];
            Arrays.fill(expected, 0, 12, -1);
            Arrays.fill(expected, 12, 24, 1);
            assertArrayEquals(expected, items);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 2})
    void aBrokenFileIsNamedWhenItsTurnComes(int workers) throws IOException {
        write(other.resolve("c/1.png"), 10);
        write(other.resolve("c/2.png"), 20);
        Path broken = Files.write(other.resolve("c/3.png"), new byte[] {1, 2, 3});
        int failures = 0;
        try (Loader data = new Loader(new ImageFolder(other, 2, 3), 1, Reading.of(workers), Device.CPU)) {
            for (int position = 0; position < 6; position++) {
                try (TensorScope scope = TensorScope.open()) {
                    data.batch(position, 1);
                } catch (UncheckedIOException e) {
                    assertTrue(
                            String.valueOf(e.getMessage())
                                    .startsWith(broken + " cannot be read as a PNG or JPEG image"),
                            e::toString);
                    failures++;
                }
            }
        }
        assertEquals(2, failures, "once an epoch");
    }

    @Test
    void foldersWithoutImagesAreRefused() throws IOException {
        Path missing = other.resolve("missing");
        Refusal.assertRefused(IOException.class, () -> images(missing), missing.toString());
        Path file = Files.writeString(other.resolve("file"), "");
        Refusal.assertRefused(IOException.class, () -> images(file), file + " is not a folder");
        Refusal.assertRefused(
                IOException.class, () -> images(other), other + " has no subfolders, expected one per class");
        write(other.resolve("full/1.png"), 1);
        Path empty = Files.createDirectories(other.resolve("empty"));
        Files.writeString(empty.resolve("notes.txt"), "not an image");
        Refusal.assertRefused(IOException.class, () -> images(other), empty + " holds no PNG or JPEG file");
    }

    private static void images(Path folder) throws IOException {
        new Loader(new ImageFolder(folder, 2, 3), 1, Reading.of(1), Device.CPU).close();
    }

    @Test
    void shapesThatAreNoneAreRefused() {
        Refusal.assertRefused(() -> new Loader(new ImageFolder(folder, 0, 3), 1, Reading.of(1), Device.CPU), "size 0");
        Refusal.assertRefused(
                () -> new Loader(new ImageFolder(folder, 2, 4), 1, Reading.of(1), Device.CPU),
                "4 channels",
                "1 (grey) or 3");
        try (Loader data = new Loader(new ImageFolder(folder, 2, 3), 1, Reading.of(0), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            Refusal.assertRefused(() -> data.batch(-1, 2), "position -1");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void nothingIsLeftBehind() throws IOException {
        long before = NativeMemory.liveTensors();
        long threads = ReadAheadTest.threads();
        try (Loader data = open(3, 2)) {
            numbers(data, 0, 20); // makes the slot, which is kept
            long open = NativeMemory.liveTensors();
            numbers(data, 3, 20);
            numbers(data, 9, 2);
            assertEquals(open, NativeMemory.liveTensors());
            assertEquals(threads + 2, ReadAheadTest.threads());
        }
        assertEquals(before, NativeMemory.liveTensors());
        assertEquals(threads, ReadAheadTest.threads());
    }
}
