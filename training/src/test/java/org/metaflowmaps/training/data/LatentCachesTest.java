package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.OutgoingTensor;
import org.metaflowmaps.runtime.file.PyTorchWriter;
import org.metaflowmaps.runtime.file.Safetensors;

/** Folders of latents of other projects, written here as these projects write them. */
final class LatentCachesTest {
    private static final int COUNT = 12;
    private static final int SIZE = 2 * 2 * 2;
    private static final double SCALE = 0.18215;

    @TempDir
    private Path folder = Path.of("");

    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** The layouts, by what they store. */
    enum Layout {
        FAST_DIT,
        REPA,
        REPA_PARENT,
        REPA_ZIP,
        MEAN_FLOW,
        MEAN_FLOW_TRAIN,
        MAR,
        LIGHTNING,
        STATISTICS;

        boolean isDrawn() {
            return switch (this) {
                case FAST_DIT, LIGHTNING, STATISTICS -> false;
                default -> true;
            };
        }

        boolean hasMirrored() {
            return this == MAR || this == LIGHTNING || this == STATISTICS;
        }
    }

    /** The mean of latent i is about i in every number, and its deviation a hundredth. */
    private static float[] mean(int i) {
        float[] values = new float[SIZE];
        for (int j = 0; j < SIZE; j++) {
            values[j] = i + j / 32f;
        }
        return values;
    }

    private static float[] moments(int i, boolean logVariance) {
        float[] values = Arrays.copyOf(mean(i), 2 * SIZE);
        Arrays.fill(values, SIZE, 2 * SIZE, logVariance ? (float) (2 * Math.log(0.01)) : 0.01f);
        return values;
    }

    private static float[] negative(float[] values) {
        float[] result = values.clone();
        for (int i = 0; i < SIZE; i++) {
            result[i] = -result[i];
        }
        return result;
    }

    private static int label(int i) {
        return i % 3;
    }

    /** An array as numpy.save writes it. */
    private static byte[] npy(String descr, String shape, byte[] data) throws IOException {
        String text = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" + shape + "), }";
        text = text + " ".repeat(64 - (10 + text.length() + 1) % 64) + "\n";
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(0x93);
        out.writeBytes("NUMPY".getBytes(StandardCharsets.US_ASCII));
        out.writeBytes(new byte[] {1, 0, (byte) text.length(), (byte) (text.length() >> 8)});
        out.writeBytes(text.getBytes(StandardCharsets.US_ASCII));
        out.writeBytes(data);
        return out.toByteArray();
    }

    private static byte[] npy(float[] values, String shape) throws IOException {
        ByteBuffer data = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        for (float value : values) {
            data.putFloat(value);
        }
        return npy("<f4", shape, data.array());
    }

    private static byte[] npy(long label) throws IOException {
        return npy(
                "<i8",
                "1,",
                ByteBuffer.allocate(8)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putLong(label)
                        .array());
    }

    /** Writes a stored, not compressed archive. */
    private static void zip(Path file, Map<String, byte[]> entries) throws IOException {
        try (OutputStream out = Files.newOutputStream(file);
                ZipOutputStream zip = new ZipOutputStream(out)) {
            for (Map.Entry<String, byte[]> each : entries.entrySet()) {
                ZipEntry entry = new ZipEntry(each.getKey());
                CRC32 sum = new CRC32();
                sum.update(each.getValue());
                entry.setMethod(ZipEntry.STORED);
                entry.setSize(each.getValue().length);
                entry.setCrc(sum.getValue());
                zip.putNextEntry(entry);
                zip.write(each.getValue());
            }
        }
    }

    private static void write(Path file, byte[] content) throws IOException {
        Files.createDirectories(file.getParent());
        Files.write(file, content);
    }

    private Path write(Layout layout) throws IOException {
        switch (layout) {
            case FAST_DIT -> {
                for (int i = 0; i < COUNT; i++) {
                    write(folder.resolve("imagenet256_features/" + i + ".npy"), npy(mean(i), "1, 2, 2, 2"));
                    write(folder.resolve("imagenet256_labels/" + i + ".npy"), npy(label(i)));
                }
            }
            case REPA, REPA_PARENT, REPA_ZIP -> {
                Map<String, byte[]> entries = new LinkedHashMap<>();
                List<String> labels = new ArrayList<>();
                for (int i = 0; i < COUNT; i++) {
                    String name = String.format(Locale.ROOT, "00000/img-mean-std-%08d.npy", i);
                    entries.put(name, npy(moments(i, false), "4, 2, 2"));
                    labels.add("[\"" + name + "\", " + label(i) + "]");
                }
                String json = "{\"labels\": [" + String.join(", ", labels) + "]}";
                entries.put("dataset.json", json.getBytes(StandardCharsets.UTF_8));
                if (layout == Layout.REPA_ZIP) {
                    zip(folder.resolve("vae-sd.zip"), entries);
                } else {
                    Path place = layout == Layout.REPA ? folder : folder.resolve("vae-sd");
                    for (Map.Entry<String, byte[]> entry : entries.entrySet()) {
                        write(place.resolve(entry.getKey()), entry.getValue());
                    }
                    // The images have such a file too.
                    write(folder.resolve("images/dataset.json"), entries.get("dataset.json"));
                }
            }
            case MEAN_FLOW, MEAN_FLOW_TRAIN -> {
                for (int i = 0; i < COUNT; i++) {
                    String name = String.format(Locale.ROOT, "%08d.pt", i);
                    torch(layout == Layout.MEAN_FLOW ? folder.resolve(name) : folder.resolve("train/" + name), i);
                }
            }
            case MAR -> {
                for (int i = 0; i < COUNT; i++) {
                    Path file = folder.resolve("n" + label(i) + "/" + i + ".JPEG.npz");
                    Files.createDirectories(file.getParent());
                    Map<String, byte[]> arrays = new LinkedHashMap<>();
                    arrays.put("moments.npy", npy(moments(i, true), "4, 2, 2"));
                    arrays.put("moments_flip.npy", npy(negative(moments(i, true)), "4, 2, 2"));
                    zip(file, arrays);
                }
            }
            case LIGHTNING, STATISTICS -> lightning(layout == Layout.STATISTICS);
        }
        return folder;
    }

    /** A label is a tensor in some files, a number in others. */
    private static void torch(Path file, int i) throws IOException {
        Files.createDirectories(file.getParent());
        try (TensorScope scope = TensorScope.open()) {
            Tensor image = Torch.of(moments(i, false), 4, 2, 2);
            Tensor label = Torch.of(new long[] {label(i)}).select(0, 0);
            List<OutgoingTensor> tensors = new ArrayList<>();
            tensors.add(new OutgoingTensor.Deferred("image", DType.FLOAT32, image.shape(), () -> image));
            if (i % 2 == 0) {
                tensors.add(new OutgoingTensor.Deferred("label", DType.INT64, label.shape(), () -> label));
            }
            PyTorchWriter.write(file, i % 2 == 0 ? Map.of() : Map.of("label", String.valueOf(label(i))), tensors);
        }
    }

    private void lightning(boolean statistics) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            for (int shard = 0; shard < 2; shard++) {
                float[] values = new float[COUNT / 2 * SIZE];
                long[] labels = new long[COUNT / 2];
                for (int i = 0; i < labels.length; i++) {
                    int number = shard * labels.length + i;
                    System.arraycopy(mean(number), 0, values, i * SIZE, SIZE);
                    labels[i] = label(number);
                }
                Tensor latents = Torch.of(values, labels.length, 2, 2, 2);
                Safetensors.write(
                        folder.resolve("latents_rank00_shard00" + shard + ".safetensors"),
                        Map.of(),
                        Map.of("latents", latents, "latents_flip", latents.neg(), "labels", Torch.of(labels)));
            }
            if (statistics) {
                Tensor mean = Torch.of(new float[] {1, 2}, 1, 2, 1, 1);
                Tensor std = Torch.of(new float[] {0.5f, 4}, 1, 2, 1, 1);
                PyTorchWriter.write(
                        folder.resolve("latents_stats.pt"),
                        List.of(
                                new OutgoingTensor.Deferred("mean", DType.FLOAT32, mean.shape(), () -> mean),
                                new OutgoingTensor.Deferred("std", DType.FLOAT32, std.shape(), () -> std)));
            }
        }
    }

    private static DataConfig.Builder config(Path place) {
        return DataConfig.builder()
                .kind(DataConfig.Kind.LATENTS)
                .folder(place.toString())
                .workers(0);
    }

    private static Loader open(DataConfig.Builder builder) throws IOException {
        return (Loader) Datasets.open(builder.build(), 4, Device.CPU);
    }

    /** Scales a number of channel c as the layout says. */
    private static double expected(Layout layout, double value, int channel) {
        return switch (layout) {
            case FAST_DIT -> value;
            case STATISTICS -> channel == 0 ? (value - 1) / 0.5 : (value - 2) / 4;
            default -> SCALE * value;
        };
    }

    @ParameterizedTest
    @EnumSource(Layout.class)
    void everyLatentHasItsLabelAndScale(Layout layout) throws IOException {
        Path place = write(layout);
        assertEquals("latents", DataCheck.kind(place).orElse("none"));
        assertEquals(0, DataCheck.of(place, 9).damaged());
        try (Loader data = open(config(place));
                TensorScope scope = TensorScope.open()) {
            assertEquals(Shape.of(2, 2, 2), data.itemShape());
            assertEquals(3, data.classes());
            assertEquals(COUNT, data.count());
            assertEquals(layout == Layout.MAR ? List.of("n0", "n1", "n2") : List.of(), data.classNames());
            TrainingData.Batch batch = data.batch(0, COUNT);
            float[] items = batch.items().toFloatArray();
            long[] labels = batch.labels().toLongArray();
            boolean[] seen = new boolean[COUNT];
            for (int i = 0; i < COUNT; i++) {
                LatentScaling scaling = data.latents().orElseThrow();
                double first = layout == Layout.FAST_DIT
                        ? items[i * SIZE]
                        : items[i * SIZE] / scaling.scale().getFirst()
                                + scaling.shift().getFirst();
                int number = (int) Math.round(first);
                seen[number] = true;
                assertEquals(label(number), labels[i]);
                double tolerance = layout.isDrawn() ? 0.01 : 1e-5;
                for (int j = 0; j < SIZE; j++) {
                    assertEquals(expected(layout, mean(number)[j], j / 4), items[i * SIZE + j], tolerance);
                }
            }
            for (boolean found : seen) {
                assertTrue(found);
            }
            // A second epoch draws again; the same position does not.
            assertArrayEquals(items, data.batch(0, COUNT).items().toFloatArray());
        }
        assertDeviations(layout, place);
    }

    /** Moments have the stored deviation: 0.01 before scaling. */
    private static void assertDeviations(Layout layout, Path place) throws IOException {
        if (!layout.isDrawn()) {
            return;
        }
        try (Loader data = open(config(place).scale(1.0));
                TensorScope scope = TensorScope.open()) {
            float[] items = data.batch(0, 100 * COUNT).items().toFloatArray();
            double square = 0;
            for (int i = 0; i < items.length; i++) {
                double error = items[i] - i % SIZE / 32.0;
                error -= Math.rint(error);
                square += error * error / items.length;
            }
            assertEquals(0.01, Math.sqrt(square), 5 * 0.01 / Math.sqrt(2.0 * items.length));
        }
    }

    @ParameterizedTest
    @EnumSource(Layout.class)
    void flipsNeedTheLatentsOfMirroredImages(Layout layout) throws IOException {
        Path place = write(layout);
        if (!layout.hasMirrored()) {
            Refusal.assertRefused(() -> open(config(place).flip(true)).close(), "latents cannot be mirrored");
            return;
        }
        try (Loader data = open(config(place).flip(true).scale(0.5));
                TensorScope scope = TensorScope.open()) {
            float[] items = data.batch(0, COUNT).items().toFloatArray();
            Flips flips = new Flips(true, 4);
            for (int i = 0; i < COUNT; i++) {
                // The last number is never 0.
                assertEquals(flips.at(i), items[i * SIZE + SIZE - 1] < 0, "item " + i);
            }
        }
    }

    @Test
    void settingsThatDoNotFitAreRefused() throws IOException {
        Path place = write(Layout.FAST_DIT);
        Refusal.assertRefused(
                IOException.class, () -> open(config(place).scale(0.5)).close(), "multiplied by 0.18215 already");
        Refusal.assertRefused(
                IOException.class, () -> open(config(place).channels(4)).close(), "data.channels is 4", "state 2");
        Refusal.assertRefused(
                IOException.class, () -> open(config(place).classes(2)).close(), "label 2", "data.classes is 2");
        open(config(place).scale(SCALE).channels(2).classes(7)).close();
        Files.delete(place.resolve("imagenet256_labels/3.npy"));
        Refusal.assertRefused(IOException.class, () -> open(config(place)).close(), "12 features", "11 labels");
    }

    @Test
    void labelsOfOtherFilesAreRefused() throws IOException {
        Path place = write(Layout.REPA);
        for (String labels : List.of(
                "null",
                "[]",
                "[[\"../a.npy\", 1]]",
                "[[\"/a.npy\", 1]]",
                "[[\"a.png\", 1]]",
                "[[\"a.npy\", 0.5]]",
                "[[\"a.npy\", 1], [\"a.npy\", 2]]",
                "[")) {
            Files.writeString(place.resolve("dataset.json"), "{\"labels\": " + labels + "}");
            Refusal.assertRefused(IOException.class, () -> open(config(place)).close(), "dataset.json");
        }
    }

    @Test
    void unknownAndMixedLayoutsAreRefused() throws IOException {
        Refusal.assertRefused(IOException.class, () -> open(config(folder)).close(), "no latents of a known layout");
        write(Layout.REPA);
        write(Layout.MEAN_FLOW);
        Refusal.assertRefused(IOException.class, () -> open(config(folder)).close(), "several layouts");
    }

    @Test
    void momentsOfTheOtherFormAreRefused() throws IOException {
        Path repa = write(Layout.REPA);
        write(repa.resolve("00000/img-mean-std-00000000.npy"), npy(moments(0, true), "4, 2, 2"));
        Refusal.assertRefused(IOException.class, () -> open(config(repa)).close(), "may be log variances");
        Path mar = folder.resolve("mar");
        Files.createDirectories(mar.resolve("n0"));
        zip(mar.resolve("n0/0.npz"), Map.of("moments.npy", npy(moments(0, false), "4, 2, 2")));
        Refusal.assertRefused(IOException.class, () -> open(config(mar)).close(), "probably standard deviations");
        Path plain = Files.createDirectories(folder.resolve("plain"));
        for (String form : List.of("", "mean-std", "nothing")) {
            try (TensorScope scope = TensorScope.open()) {
                Safetensors.write(
                        plain.resolve("a.safetensors"),
                        form.isEmpty() ? Map.of() : Map.of("moments", form),
                        Map.of(
                                "latents",
                                Torch.of(moments(0, false), 1, 4, 2, 2),
                                "labels",
                                Torch.zeros(DType.INT64, Device.CPU, 1)));
            }
            if (form.equals("mean-std")) {
                open(config(plain).channels(2)).close();
            } else {
                Refusal.assertRefused(
                        IOException.class, () -> open(config(plain).channels(2)).close(), "mean-std");
            }
        }
        // Four channels can be four, or means and log variances of two.
        Refusal.assertRefused(IOException.class, () -> open(config(plain)).close(), "set data.channels");
    }

    /** A damaged file stops a batch, or is replaced. */
    @ParameterizedTest
    @EnumSource(
            value = Layout.class,
            names = {"FAST_DIT", "REPA", "MEAN_FLOW", "MAR"})
    void damagedFilesAreNamedOrReplaced(Layout layout) throws IOException {
        Path place = write(layout);
        Path damaged = switch (layout) {
            case FAST_DIT -> place.resolve("imagenet256_features/5.npy");
            case REPA -> place.resolve("00000/img-mean-std-00000005.npy");
            case MEAN_FLOW -> place.resolve("00000005.pt");
            default -> place.resolve("n2/5.JPEG.npz");
        };
        byte[] content = Files.readAllBytes(damaged);
        if (layout == Layout.MEAN_FLOW) {
            // Labels are read from the same files, so damage the numbers alone.
            try (TensorScope scope = TensorScope.open()) {
                Tensor bad = Torch.full(Double.NaN, DType.FLOAT32, Device.CPU, 4, 2, 2);
                PyTorchWriter.write(
                        damaged,
                        Map.of("label", "2"),
                        List.of(new OutgoingTensor.Deferred("image", DType.FLOAT32, bad.shape(), () -> bad)));
            }
        } else {
            Files.write(damaged, Arrays.copyOf(content, content.length / 2));
        }
        try (Loader data = open(config(place));
                TensorScope scope = TensorScope.open()) {
            Refusal.assertRefused(UncheckedIOException.class, () -> data.batch(0, COUNT), damaged.toString());
        }
        assertEquals(1, DataCheck.of(place, 9).damaged());
        try (Loader data = open(config(place).onError(DataConfig.OnError.SKIP));
                TensorScope scope = TensorScope.open()) {
            data.batch(0, COUNT);
            assertEquals(1, data.replaced());
        }
    }

    /** An archive without its array counts as damaged. */
    @Test
    void anArchiveWithoutItsEntryIsReplaced() throws IOException {
        Path place = write(Layout.MAR);
        zip(place.resolve("n2/5.JPEG.npz"), Map.of("other.npy", new byte[10]));
        try (Loader data = open(config(place).onError(DataConfig.OnError.SKIP));
                TensorScope scope = TensorScope.open()) {
            data.batch(0, COUNT);
            assertEquals(1, data.replaced());
        }
    }

    /** Held-out latents and threads change nothing about batches. */
    @Test
    void threadsDoNotChangeBatches() throws IOException {
        Path place = write(Layout.REPA_ZIP);
        try (Loader one = open(config(place));
                Loader three = open(config(place).workers(3));
                TensorScope scope = TensorScope.open()) {
            for (int position : IntStream.of(0, 5, 10, 3).toArray()) {
                assertArrayEquals(
                        one.batch(position, 5).items().toFloatArray(),
                        three.batch(position, 5).items().toFloatArray());
            }
            assertFalse(Arrays.equals(
                    one.batch(0, 5).items().toFloatArray(),
                    one.batch(5, 5).items().toFloatArray()));
        }
    }
}
