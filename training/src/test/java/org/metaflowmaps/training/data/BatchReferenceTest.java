package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.zip.CRC32;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;

/**
 * Batches equal those of versions before {@code Items} and {@code Loader}, to the last bit, so older runs continue with
 * the same items. The sums were computed with the classes of that version.
 */
final class BatchReferenceTest {
    private static final long[] POSITIONS = {0, 5, 10, 37, 1_000_003, 2};

    @TempDir
    private static Path folder = Path.of("");

    @BeforeAll
    static void write() throws IOException {
        Random random = new Random(11);
        for (int i = 0; i < 23; i++) {
            BufferedImage image = new BufferedImage(9, 7, BufferedImage.TYPE_INT_RGB);
            for (int at = 0; at < 63; at++) {
                image.setRGB(at % 9, at / 9, random.nextInt());
            }
            Path file = folder.resolve("images")
                    .resolve("abc".substring(i % 3, i % 3 + 1))
                    .resolve(i + ".png");
            Files.createDirectories(file.getParent());
            ImageIO.write(image, "png", file.toFile());
        }
        Files.writeString(folder.resolve("images/b/7x.png"), "damaged");
        latents("plain", 3, random);
        latents("moments", 6, random);
    }

    private static void latents(String name, int channels, Random random) throws IOException {
        Path place = Files.createDirectories(folder.resolve(name));
        for (int part = 0; part < 2; part++) {
            int count = 8 + part;
            float[] values = new float[count * channels * 4];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) random.nextGaussian();
            }
            long[] labels = random.longs(count, 0, 4).toArray();
            if (part == 1) {
                values[3] = Float.NaN;
                labels[5] = 9;
            }
            try (TensorScope scope = TensorScope.open()) {
                Safetensors.write(
                        place.resolve(part + ".safetensors"),
                        Map.of(),
                        Map.of("latents", Torch.of(values, count, channels, 2, 2), "labels", Torch.of(labels)));
            }
        }
    }

    /** Returns a sum over batches at some positions, held-out items, examples, and counts. */
    private static long sum(TrainingData data) {
        CRC32 sum = new CRC32();
        for (long position : POSITIONS) {
            for (int count : new int[] {5, 3}) {
                try (TensorScope scope = TensorScope.open()) {
                    add(sum, data.batch(position, count));
                }
            }
        }
        try (TensorScope scope = TensorScope.open()) {
            if (data.heldOut() > 0) {
                add(sum, data.heldOut(0, data.heldOut()));
                add(sum, data.heldOut(1, 1));
            }
            add(sum, Objects.requireNonNull(data.examples(4)));
        }
        sum.update(ByteBuffer.allocate(16)
                .putLong(data.heldOut())
                .putLong(data.replaced())
                .flip());
        return sum.getValue();
    }

    private static void add(CRC32 sum, TrainingData.Batch batch) {
        for (float value : batch.items().toFloatArray()) {
            sum.update(ByteBuffer.allocate(4).putFloat(value).flip());
        }
        for (long label : batch.labels().toLongArray()) {
            sum.update((int) label);
        }
    }

    private static LabelledImages set() {
        Random random = new Random(12);
        byte[] pixels = new byte[13 * 2 * 12];
        byte[] labels = new byte[13];
        random.nextBytes(pixels);
        for (int i = 0; i < labels.length; i++) {
            labels[i] = (byte) random.nextInt(3);
        }
        return new LabelledImages(pixels, 2, 3, 4, labels, List.of("a", "b", "c"));
    }

    @Test
    void imagesInMemory() throws IOException {
        try (TrainingData data =
                        new Loader(new ImageData(set()), 3, Reading.of(0).holdingOut(3), Device.CPU);
                TrainingData flipped =
                        new Loader(new ImageData(set()), -8, new Reading(0, 0, true, false, 0), Device.CPU)) {
            assertEquals(493668471L, sum(data));
            assertEquals(3506123111L, sum(flipped));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 3})
    void imageFiles(int workers) throws IOException {
        try (TrainingData data = new Loader(
                        new ImageFolder(folder.resolve("images"), 6, 3),
                        3,
                        new Reading(workers, 0, false, true, 0.5),
                        Device.CPU);
                TrainingData held = new Loader(
                        new ImageFolder(folder.resolve("images"), 4, 1),
                        9,
                        new Reading(workers, 5, true, true, 0.5),
                        Device.CPU)) {
            assertEquals(2770445324L, sum(data));
            assertEquals(3490197274L, sum(held));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 3})
    void latentFiles(int workers) throws IOException {
        try (TrainingData data = new Loader(
                        new LatentShards(folder.resolve("plain"), 3, 4, 0.3, DataConfig.OnError.SKIP),
                        3,
                        new Reading(workers, 0, false, true, 0.5),
                        Device.CPU);
                TrainingData held = new Loader(
                        new LatentShards(folder.resolve("plain"), 3, 4, 0.3, DataConfig.OnError.SKIP),
                        3,
                        new Reading(workers, 4, false, true, 0.5),
                        Device.CPU)) {
            assertEquals(2109167717L, sum(data));
            assertEquals(505077074L, sum(held));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 3})
    void moments(int workers) throws IOException {
        try (TrainingData data = new Loader(
                        new LatentShards(folder.resolve("moments"), 3, 4, 0.3, DataConfig.OnError.SKIP),
                        3,
                        new Reading(workers, 0, false, true, 0.5),
                        Device.CPU);
                TrainingData held = new Loader(
                        new LatentShards(folder.resolve("moments"), 3, 4, 0.3, DataConfig.OnError.SKIP),
                        3,
                        new Reading(workers, 4, false, true, 0.5),
                        Device.CPU)) {
            assertEquals(3080046659L, sum(data));
            assertEquals(4170513250L, sum(held));
        }
    }
}
