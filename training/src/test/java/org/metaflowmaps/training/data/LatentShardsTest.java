package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;

final class LatentShardsTest {
    private static final int ITEMS = 11;
    private static final int CLASSES = 4;
    private static final double SCALE = 0.25;

    @TempDir
    private Path folder = Path.of("");

    private void write(String name, Map<String, Tensor> tensors) throws IOException {
        Safetensors.write(folder.resolve(name), Map.of(), tensors);
    }

    private static Tensor labels(int from, int to) {
        return Torch.of(IntStream.range(from, to).mapToLong(i -> i % CLASSES).toArray());
    }

    /** Splits (11, channels, 2, 3) into files of 4, 0, 6 and 1, and adds files that are not shards. */
    private void writeShards(Tensor latents) throws IOException {
        int[] ends = {0, 4, 4, 10, ITEMS};
        for (int i = 0; i < 4; i++) {
            Tensor part = latents.narrow(0, ends[i], ends[i + 1] - ends[i]);
            write(
                    "part" + i + ".safetensors",
                    Map.of("latents", part, "labels", labels(ends[i], ends[i + 1]), "more", Torch.zeros(1)));
        }
        Files.writeString(folder.resolve(".part.safetensors"), "hidden");
        Files.writeString(folder.resolve("readme.txt"), "not a shard");
    }

    private static Tensor latents(int channels) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            return scope.keep(random.normal(ITEMS, channels, 2, 3));
        }
    }

    private Loader open(int channels, int workers) throws IOException {
        return new Loader(new LatentShards(folder, channels, CLASSES, SCALE), 6, Reading.of(workers), Device.CPU);
    }

    @ParameterizedTest
    @EnumSource(
            value = DType.class,
            names = {"FLOAT32", "FLOAT16", "BFLOAT16"})
    void itemsAreTheScaledLatentsOfTheEpochsOrder(DType type) throws IOException {
        try (TensorScope scope = TensorScope.open();
                EpochOrder order = new EpochOrder(ITEMS, 6, Device.CPU)) {
            Tensor latents = latents(3).to(type);
            writeShards(latents);
            try (Loader data = open(3, 1)) {
                assertEquals(ITEMS, data.count());
                assertEquals(CLASSES, data.classes());
                assertEquals(Shape.of(3, 2, 3), data.itemShape());
                for (long position : new long[] {0, 7, 14, 21, 2}) {
                    TrainingData.Batch batch = data.batch(position, 7);
                    Tensor index = order.indices(position, 7);
                    Tensor expected =
                            latents.indexSelect(0, index).to(DType.FLOAT32).mul(SCALE);
                    assertEquals(Shape.of(7, 3, 2, 3), batch.items().shape());
                    assertArrayEquals(expected.toFloatArray(), batch.items().toFloatArray());
                    assertArrayEquals(
                            labels(0, ITEMS).indexSelect(0, index).toLongArray(),
                            batch.labels().toLongArray());
                }
            }
        }
    }

    @Test
    void momentsAreDrawnFromTheirGaussian() throws IOException {
        int draws = 4_000;
        try (TensorScope scope = TensorScope.open()) {
            // Every item has mean 2 and variance 9.
            Tensor mean = Torch.full(2, DType.FLOAT32, Device.CPU, ITEMS, 3, 2, 3);
            Tensor logVariance = Torch.full(Math.log(9), DType.FLOAT32, Device.CPU, ITEMS, 3, 2, 3);
            writeShards(Torch.cat(1, mean, logVariance));
            try (Loader data = open(3, 0)) {
                Tensor items = data.batch(0, draws).items();
                assertEquals(Shape.of(draws, 3, 2, 3), items.shape());
                double count = draws * 18.0;
                double found = items.mean().item();
                assertEquals(SCALE * 2, found, 5 * SCALE * 3 / Math.sqrt(count));
                // The relative error of a variance of n normal draws is √(2/n).
                assertEquals(
                        SCALE * SCALE * 9,
                        items.sub(found).square().mean().item(),
                        5 * SCALE * SCALE * 9 * Math.sqrt(2 / count));
                // Positions in an item, and items, have independent noise.
                assertTrue(Arrays.stream(items.toDoubleArray()).distinct().count() > draws * 17L);
            }
        }
    }

    /** Without variance the item is the mean; an extreme log variance is clamped. */
    @Test
    void logVariancesAreHeldToTheirRange() throws IOException {
        try (TensorScope scope = TensorScope.open();
                EpochOrder order = new EpochOrder(ITEMS, 6, Device.CPU)) {
            Tensor mean = latents(3);
            writeShards(Torch.cat(1, mean, Torch.full(-1e9, DType.FLOAT32, Device.CPU, ITEMS, 3, 2, 3)));
            try (Loader data = open(3, 1)) {
                Tensor expected = mean.indexSelect(0, order.indices(3, 5)).mul(SCALE);
                assertArrayEquals(
                        expected.toFloatArray(), data.batch(3, 5).items().toFloatArray(), 1e-5f);
            }
            writeShards(Torch.cat(1, mean, Torch.full(1e9, DType.FLOAT32, Device.CPU, ITEMS, 3, 2, 3)));
            try (Loader data = open(3, 1)) {
                assertEquals(1, data.batch(3, 5).items().isFinite().all().item());
            }
        }
    }

    /** The same batch at the same position always has the same noise; epochs and batches have different noise. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 3})
    void drawsDependOnTheBatchesPlaceAlone(int workers) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            writeShards(latents(6));
            try (Loader straight = open(3, 0);
                    Loader data = open(3, workers)) {
                for (int position : new int[] {0, 4, 8, 12, 30, 1, 5, 4}) {
                    assertArrayEquals(
                            straight.batch(position, 4).items().toFloatArray(),
                            data.batch(position, 4).items().toFloatArray());
                }
                float[] first = sorted(straight.batch(0, ITEMS).items().toFloatArray());
                assertFalse(Arrays.equals(
                        first, sorted(straight.batch(ITEMS, ITEMS).items().toFloatArray())));
            }
        }
    }

    private static float[] sorted(float[] values) {
        Arrays.sort(values);
        return values;
    }

    private void refused(String... parts) {
        Refusal.assertRefused(IOException.class, () -> open(3, 1).close(), parts);
    }

    @Test
    void filesThatDoNotFitAreNamed() throws IOException {
        long before = NativeMemory.liveTensors();
        refused("holds no .safetensors file");
        Path part = folder.resolve("part0.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            Tensor good = Torch.zeros(2, 3, 2, 3);
            write("part0.safetensors", Map.of("latents", good));
            refused(part.toString(), "no tensor 'labels'", "latents");
            write("part0.safetensors", Map.of("labels", labels(0, 2)));
            refused(part.toString(), "no tensor 'latents'");
            write("part0.safetensors", Map.of("latents", good.to(DType.FLOAT64), "labels", labels(0, 2)));
            refused(part.toString(), "float64[2, 3, 2, 3]", "expected float32, float16 or bfloat16");
            for (Tensor bad :
                    new Tensor[] {Torch.zeros(2, 4, 2, 3), Torch.zeros(2, 3, 2), Torch.zeros(2, 3, 0, 3), Torch.zeros()
                    }) {
                write("part0.safetensors", Map.of("latents", bad, "labels", labels(0, 2)));
                refused(part.toString(), bad.shape().toString(), "[N, 3 or, for means and log variances, 6, H, W]");
            }
            write("part0.safetensors", Map.of("latents", good, "labels", labels(0, 3)));
            refused(part.toString(), "labels are int64[3], expected int64[2]");
            write(
                    "part0.safetensors",
                    Map.of("latents", good, "labels", labels(0, 2).to(DType.INT32)));
            refused(part.toString(), "labels are int32[2]");
            for (long label : new long[] {-1, CLASSES, Long.MAX_VALUE}) {
                write("part0.safetensors", Map.of("latents", good, "labels", Torch.of(new long[] {1, label})));
                refused(part.toString(), "label 1 is " + label, "expected 0 to 3");
            }
            write("part0.safetensors", Map.of("latents", Torch.zeros(0, 3, 2, 3), "labels", labels(0, 0)));
            refused("hold no latents");
            write("part0.safetensors", Map.of("latents", good, "labels", labels(0, 2)));
            write("part1.safetensors", Map.of("latents", Torch.zeros(2, 3, 2, 4), "labels", labels(0, 2)));
            refused(
                    folder.resolve("part1.safetensors").toString(),
                    "[2, 3, 2, 4]",
                    "part0.safetensors",
                    "only the number");
            write("part1.safetensors", Map.of("latents", good.to(DType.FLOAT16), "labels", labels(0, 2)));
            refused(folder.resolve("part1.safetensors").toString(), "float16", "float32");
            Files.writeString(folder.resolve("part1.safetensors"), "no such file");
            refused(folder.resolve("part1.safetensors").toString());
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    @Test
    void foldersThatAreNoneAreRefused() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "");
        Map<Path, String> refusals = new HashMap<>(Map.of(file, " is not a folder", folder.resolve("missing"), ""));
        refusals.forEach((path, text) -> Refusal.assertRefused(
                IOException.class,
                () -> new Loader(new LatentShards(path, 3, 2, 1), 1, Reading.of(1), Device.CPU).close(),
                path + text));
    }

    @Test
    void nothingIsLeftBehind() throws IOException {
        long before = NativeMemory.liveTensors();
        long threads = ReadAheadTest.threads();
        try (TensorScope scope = TensorScope.open()) {
            writeShards(latents(6));
        }
        try (Loader data = open(3, 2)) {
            long open = NativeMemory.liveTensors();
            try (TensorScope scope = TensorScope.open()) {
                data.batch(5, 9);
            }
            assertEquals(open, NativeMemory.liveTensors());
        }
        assertEquals(before, NativeMemory.liveTensors());
        assertEquals(threads, ReadAheadTest.threads());
    }
}
