package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;

final class ImageDataTest {
    private static final int IMAGES = 10;
    private static final int USED = 7;
    private static final int SIZE = 2 * 2 * 3;
    private static final LabelledImages SET = images();

    /** Random images; the first byte of each is its number. */
    private static LabelledImages images() {
        Random random = new Random(3);
        byte[] pixels = new byte[IMAGES * SIZE];
        byte[] labels = new byte[IMAGES];
        random.nextBytes(pixels);
        for (int i = 0; i < IMAGES; i++) {
            pixels[i * SIZE] = (byte) i;
            labels[i] = (byte) (i % 3);
        }
        return new LabelledImages(pixels, 2, 2, 3, labels, List.of("a", "b", "c"));
    }

    private static Loader open(long seed) throws IOException {
        return new Loader(new ImageData(SET), seed, Reading.of(0).holdingOut(IMAGES - USED), Device.CPU);
    }

    /** Returns the numbers of the images of a batch, after comparing each with the set bit by bit. */
    private static int[] numbers(Loader data, long position, int count) {
        try (TensorScope scope = TensorScope.open()) {
            TrainingData.Batch batch = data.batch(position, count);
            assertEquals(Shape.of(count, 2, 2, 3), batch.items().shape());
            float[] items = batch.items().toFloatArray();
            long[] labels = batch.labels().toLongArray();
            int[] numbers = new int[count];
            for (int i = 0; i < count; i++) {
                numbers[i] = Math.round((items[i * SIZE] + 1) * 127.5f);
                float[] expected = new float[SIZE];
                SET.normalised(numbers[i], expected, 0);
                assertArrayEquals(
                        expected, Arrays.copyOfRange(items, i * SIZE, (i + 1) * SIZE), 1.2e-7f, "image " + numbers[i]);
                assertEquals(SET.label(numbers[i]), labels[i], "label of image " + numbers[i]);
            }
            return numbers;
        }
    }

    private static int[] epoch(Loader data, int epoch) {
        return numbers(data, (long) epoch * USED, USED);
    }

    @Test
    void everyEpochVisitsEachUsedImageOnce() throws IOException {
        try (Loader data = open(5)) {
            for (int epoch = 0; epoch < 20; epoch++) {
                assertArrayEquals(
                        IntStream.range(0, USED).toArray(),
                        IntStream.of(epoch(data, epoch)).sorted().toArray(),
                        "epoch " + epoch);
            }
        }
    }

    @Test
    void orderDependsOnSeedAndEpoch() throws IOException {
        try (Loader data = open(5);
                Loader same = open(5);
                Loader other = open(6)) {
            assertArrayEquals(epoch(data, 0), epoch(same, 0));
            assertFalse(Arrays.equals(epoch(data, 0), epoch(data, 1)));
            assertFalse(Arrays.equals(epoch(data, 0), epoch(other, 0)));
        }
    }

    /** Seven images have 5,040 orders: in 2,000 epochs each image comes first about as often as any other. */
    @Test
    void everyImageComesFirstEquallyOften() throws IOException {
        int epochs = 2_000;
        int[] first = new int[USED];
        try (Loader data = open(9)) {
            for (long epoch = 0; epoch < epochs; epoch++) {
                first[numbers(data, epoch * USED, 1)[0]]++;
            }
        }
        double expected = (double) epochs / USED;
        double square = IntStream.of(first)
                .mapToDouble(count -> (count - expected) * (count - expected) / expected)
                .sum();
        // The 0.9999 quantile of chi-squared with 6 degrees of freedom.
        assertTrue(square < 27.9, Arrays.toString(first));
    }

    @Test
    void aBatchMayRunOverTheEndsOfEpochs() throws IOException {
        try (Loader data = open(5)) {
            int[] stream = IntStream.range(0, 4)
                    .flatMap(epoch -> IntStream.of(epoch(data, epoch)))
                    .toArray();
            for (int position = 0; position < USED + 2; position++) {
                for (int count : new int[] {1, 2, USED, 2 * USED + 1}) {
                    assertArrayEquals(
                            Arrays.copyOfRange(stream, position, position + count),
                            numbers(data, position, count),
                            count + " from " + position);
                }
            }
        }
    }

    @Test
    void aPositionAlwaysGivesTheSameBatch() throws IOException {
        try (Loader data = open(5)) {
            int[] late = numbers(data, 1_000_003, 5);
            int[] early = numbers(data, 2, 5);
            assertArrayEquals(late, numbers(data, 1_000_003, 5));
            assertArrayEquals(early, numbers(data, 2, 5));
        }
    }

    @Test
    void valuesSpanTheRange() {
        byte[] all = new byte[256];
        for (int i = 0; i < all.length; i++) {
            all[i] = (byte) i;
        }
        LabelledImages levels = new LabelledImages(all, 1, 16, 16, new byte[] {0}, List.of("levels"));
        try (TensorScope scope = TensorScope.open()) {
            float[] items = ImageData.items(levels, 0, 1, Device.CPU).toFloatArray();
            float[] expected = new float[256];
            levels.normalised(0, expected, 0);
            assertArrayEquals(expected, items, 1.2e-7f);
            assertEquals(-1, items[0], 0);
            assertEquals(1, items[255], 0);
        }
    }

    @Test
    void rangesOfItemsAndLabelsAreThoseOfTheSet() {
        try (TensorScope scope = TensorScope.open()) {
            float[] items = ImageData.items(SET, 4, 6, Device.CPU).toFloatArray();
            float[] expected = new float[2 * SIZE];
            SET.normalised(4, expected, 0);
            SET.normalised(5, expected, SIZE);
            assertArrayEquals(expected, items, 1.2e-7f);
            assertArrayEquals(
                    new long[] {SET.label(4), SET.label(5)},
                    ImageData.labels(SET, 4, 6, Device.CPU).toLongArray());
        }
    }

    @Test
    void nothingIsLeftBehind() throws IOException {
        long before = NativeMemory.liveTensors();
        try (Loader data = open(5)) {
            assertTrue(NativeMemory.liveTensors() > before);
            long open = NativeMemory.liveTensors();
            numbers(data, 3, 20);
            assertEquals(open, NativeMemory.liveTensors());
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    @Test
    void anImageIsLeftToTrainOn() {
        for (int count : new int[] {IMAGES, IMAGES + 1}) {
            Refusal.assertRefused(
                    () -> new Loader(new ImageData(SET), 1, Reading.of(0).holdingOut(count), Device.CPU).close(),
                    "config: data.hold_out is " + count + ", the set has 10 images");
        }
    }
}
