package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/** Encoding of folders: what is stored, and that stops, kills and damaged files change nothing else. */
final class LatentEncoderTest {
    private static final double SCALE = 0.18215;

    @TempDir
    private static Path shared = Path.of("");

    private static EncodingFolder files;
    private static Path whole;

    @TempDir
    private Path folder = Path.of("");

    @BeforeAll
    static void encode() throws IOException {
        long live = NativeMemory.liveTensors();
        files = EncodingFolder.write(shared);
        whole = shared.resolve("whole");
        List<Integer> seen = new ArrayList<>();
        LatentManifest manifest = files.encode(files.settings(whole), seen::add);
        assertTrue(manifest.isComplete());
        assertEquals(EncodingFolder.ALL, seen.getLast());
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** Returns all files of a folder by name, without the lock. */
    private static Map<String, String> contents(Path place) throws IOException {
        Map<String, String> found = new TreeMap<>();
        for (Path file : LatentFiles.list(place)) {
            found.put(file.getFileName().toString(), Fingerprints.file(file));
        }
        return found;
    }

    @Test
    void shardsHoldTheMomentsOfEveryReadableImage() throws IOException {
        LatentManifest manifest = LatentManifest.read(whole);
        assertEquals(List.of("class a", "class b", "class c"), manifest.classes());
        assertEquals(EncodingFolder.COUNT, manifest.count());
        assertEquals(
                List.of("class a/04x.png", "class c/99.jpg"),
                manifest.skipped().stream().map(LatentManifest.Skipped::file).toList());
        assertTrue(manifest.skipped().getFirst().reason().contains("HTML"), manifest::toString);
        assertEquals(
                List.of(5, 5, 3),
                manifest.shards().stream().map(LatentManifest.Shard::images).toList());
        assertEquals(SCALE, manifest.vae().scale());
        List<String> names = new ArrayList<>();
        ImageTree tree = new ImageTree(files.images());
        IntStream.range(0, tree.count()).mapToObj(tree::name).forEach(names::add);
        manifest.skipped().forEach(image -> names.remove(image.file()));
        int at = 0;
        for (LatentManifest.Shard shard : manifest.shards()) {
            try (SafetensorsFile open = SafetensorsFile.open(whole.resolve(shard.file()));
                    TensorScope scope = TensorScope.open()) {
                assertEquals(shard.sha256(), Fingerprints.file(whole.resolve(shard.file())));
                assertEquals(
                        Shape.of(shard.count(), 8, 2, 2), open.view("moments").shape());
                long[] labels = open.view("labels").toLongArray();
                for (int i = 0; i < shard.count(); i++, at++) {
                    assertEquals(
                            "class " + "abc".charAt((int) labels[i]),
                            names.get(at).substring(0, 7));
                    for (boolean mirrored : at % 3 == 0 ? new boolean[] {false, true} : new boolean[0]) {
                        double[][] expected = files.moments(names.get(at), mirrored);
                        double[] found = open.view(mirrored ? "moments_flip" : "moments")
                                .select(0, i)
                                .toDoubleArray();
                        assertArrayEquals(expected[0], Arrays.copyOf(found, 16), 1e-5);
                        assertArrayEquals(expected[1], Arrays.copyOfRange(found, 16, 32), 1e-5);
                    }
                }
            }
        }
        assertEquals(EncodingFolder.COUNT, at);
    }

    /** A kill is an error between two batches: what is not in a shard is lost, and encoded again. */
    @ParameterizedTest
    @ValueSource(ints = {1, 5, 9, 13})
    void aKilledRunContinuesWithoutAGapOrADouble(int kill) throws IOException {
        long live = NativeMemory.liveTensors();
        EncodingSettings settings = files.settings(folder);
        assertThrows(
                IllegalStateException.class,
                () -> files.encode(settings, done -> {
                    if (done >= kill) {
                        throw new IllegalStateException("killed");
                    }
                }));
        assertEquals(live, NativeMemory.liveTensors());
        int before = LatentManifest.read(folder).done();
        assertEquals((kill - 1) / 5 * 5, before);
        // A writer that was killed leaves these: a half-written file, and a shard that the manifest does not name yet.
        Path part = Files.writeString(folder.resolve(".latents-00009.safetensors.2147483646-1.tmp"), "half");
        Files.writeString(
                folder.resolve(LatentEncoder.shardName(
                        LatentManifest.read(folder).shards().size())),
                "half");
        if (!LatentManifest.read(folder).isComplete()) {
            Refusal.assertRefused(
                    IOException.class, () -> open(folder, false).close(), "not finished", "mfm data encode again");
        }
        int[] begun = new int[2];
        LatentManifest after = files.encode(settings, new EncodingListener() {
            @Override
            public void begin(int images, int done) {
                begun[0] = images;
                begun[1] = done;
            }

            @Override
            public void at(int done) {
                assertTrue(done > before);
            }
        });
        assertArrayEquals(new int[] {EncodingFolder.ALL, before}, begun);
        assertTrue(after.isComplete());
        assertFalse(Files.exists(part));
        assertEquals(contents(whole), contents(folder));
    }

    /** A stop stores what is encoded, in a shorter shard. */
    @Test
    void aStoppedRunKeepsWhatItHasEncoded() throws IOException {
        EncodingSettings settings = files.settings(folder);
        int[] at = new int[1];
        LatentManifest stopped = files.encode(settings, new EncodingListener() {
            @Override
            public void at(int done) {
                at[0] = done;
            }

            @Override
            public boolean isStopped() {
                return at[0] >= 7;
            }
        });
        assertFalse(stopped.isComplete());
        assertEquals(at[0], stopped.done());
        LatentManifest after = files.encode(settings, EncodingListener.NONE);
        assertEquals(4, after.shards().size());
        try (Loader first = open(whole, false);
                Loader second = open(folder, false);
                TensorScope scope = TensorScope.open()) {
            assertArrayEquals(
                    first.batch(3, 20).items().toFloatArray(),
                    second.batch(3, 20).items().toFloatArray(),
                    1e-6f);
            assertArrayEquals(
                    first.batch(3, 20).labels().toLongArray(),
                    second.batch(3, 20).labels().toLongArray());
        }
        // A finished folder stays as it is.
        Map<String, String> contents = contents(folder);
        assertTrue(files.encode(settings, EncodingListener.NONE).isComplete());
        assertEquals(contents, contents(folder));
    }

    private static Loader open(Path place, boolean flip) throws IOException {
        DataConfig config = DataConfig.builder()
                .kind(DataConfig.Kind.LATENTS)
                .folder(place.toString())
                .flip(flip)
                .workers(0)
                .build();
        return (Loader) Datasets.open(config, 3, Device.CPU);
    }

    /** The mean over many epochs is the stored mean, and their deviation the stored one. */
    @Test
    void momentsAreDrawnAnewEachEpochAndSamplesAreNot() throws IOException {
        Path samples = folder.resolve("samples");
        files.encode(files.settings(samples, LatentManifest.Store.SAMPLE, false, 4, 4), EncodingListener.NONE);
        int count = EncodingFolder.COUNT;
        try (Loader moments = open(whole, false);
                Loader fixed = open(samples, false);
                TensorScope scope = TensorScope.open()) {
            assertEquals(List.of("class a", "class b", "class c"), moments.classNames());
            assertEquals(3, moments.classes());
            assertEquals(Shape.of(4, 2, 2), moments.itemShape());
            assertEquals(SCALE, moments.latents().orElseThrow().scale().getFirst());
            assertFalse(Arrays.equals(sorted(moments, 0), sorted(moments, count)));
            assertArrayEquals(sorted(fixed, 0), sorted(fixed, count));
            // All draws have the law of the stored moments: compare sums over items, which need no order.
            int epochs = 100;
            double[] mean = new double[2];
            try (SafetensorsFile shard = SafetensorsFile.open(whole.resolve(LatentEncoder.shardName(0)))) {
                assertEquals("mean-std", shard.metadata().get("moments"));
            }
            for (int i = 0; i < epochs; i++) {
                mean[0] += moments.batch((long) i * count, count).items().mean().item() / epochs;
            }
            for (LatentManifest.Shard shard : LatentManifest.read(whole).shards()) {
                try (SafetensorsFile open = SafetensorsFile.open(whole.resolve(shard.file()))) {
                    mean[1] +=
                            SCALE * open.view("moments").narrow(1, 0, 4).sum().item() / (count * 16.0);
                }
            }
            double deviation = 0;
            for (LatentManifest.Shard shard : LatentManifest.read(whole).shards()) {
                try (SafetensorsFile open = SafetensorsFile.open(whole.resolve(shard.file()))) {
                    deviation +=
                            open.view("moments").narrow(1, 4, 4).square().sum().item();
                }
            }
            double error = SCALE * Math.sqrt(deviation) / (count * 16.0) / Math.sqrt(epochs);
            assertEquals(mean[1], mean[0], 5 * error);
        }
    }

    private static float[] sorted(Loader data, long position) {
        float[] values = data.batch(position, EncodingFolder.COUNT).items().toFloatArray();
        Arrays.sort(values);
        return values;
    }

    /** Samples depend on the image, not on batches and shards. */
    @Test
    void samplesDoNotDependOnBatches() throws IOException {
        Path first = folder.resolve("first");
        Path second = folder.resolve("second");
        files.encode(files.settings(first, LatentManifest.Store.SAMPLE, true, 1, 100), EncodingListener.NONE);
        files.encode(files.settings(second, LatentManifest.Store.SAMPLE, true, 7, 3), EncodingListener.NONE);
        try (Loader one = open(first, true);
                Loader two = open(second, true);
                TensorScope scope = TensorScope.open()) {
            assertArrayEquals(
                    one.batch(0, 40).items().toFloatArray(),
                    two.batch(0, 40).items().toFloatArray(),
                    1e-5f);
        }
    }

    /** Half of the items are latents of mirrored images, which are not mirrored latents. */
    @Test
    void flipsAreTheLatentsOfMirroredImages() throws IOException {
        Path bare = folder.resolve("bare");
        files.encode(files.settings(bare, LatentManifest.Store.SAMPLE, false, 4, 4), EncodingListener.NONE);
        Refusal.assertRefused(() -> open(bare, true).close(), "latents cannot be mirrored", "--flips");
        Path both = folder.resolve("both");
        files.encode(files.settings(both, LatentManifest.Store.SAMPLE, true, 4, 4), EncodingListener.NONE);
        int count = EncodingFolder.COUNT;
        try (Loader plain = open(both, false);
                Loader flipped = open(both, true);
                TensorScope scope = TensorScope.open()) {
            float[] a = plain.batch(0, count).items().toFloatArray();
            float[] b = flipped.batch(0, count).items().toFloatArray();
            Flips flips = new Flips(true, 3);
            for (int i = 0; i < count; i++) {
                boolean same = Arrays.equals(a, i * 16, i * 16 + 16, b, i * 16, i * 16 + 16);
                assertEquals(!flips.at(i), same, "item " + i);
            }
        }
    }

    @Test
    void otherRunsAndFoldersAreRefused() throws IOException {
        EncodingSettings settings = files.settings(whole);
        Refusal.assertRefused(
                IOException.class,
                () -> files.encode(
                        files.settings(whole, LatentManifest.Store.MOMENTS, false, 2, 5), EncodingListener.NONE),
                "flips is false, was true",
                "another folder");
        Path other = folder.resolve("other");
        for (Path file : LatentFiles.list(whole)) {
            Files.createDirectories(other);
            Files.copy(file, other.resolve(file.getFileName()));
        }
        Files.delete(other.resolve(LatentManifest.NAME));
        Refusal.assertRefused(
                IOException.class,
                () -> files.encode(files.settings(other), EncodingListener.NONE),
                "is not empty",
                "latents-00000.safetensors");
        Files.copy(whole.resolve(LatentManifest.NAME), other.resolve(LatentManifest.NAME));
        Path shard = other.resolve(LatentEncoder.shardName(1));
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(
                    shard,
                    Map.of(),
                    Map.of("moments", Torch.zeros(5, 8, 2, 2), "labels", Torch.zeros(DType.INT64, Device.CPU, 5)));
        }
        Refusal.assertRefused(
                IOException.class, () -> open(other, false).close(), shard.toString(), "is not the shard");
        Files.write(shard, new byte[0]);
        Refusal.assertRefused(IOException.class, () -> open(other, false).close(), shard.toString());
        Files.delete(shard);
        Refusal.assertRefused(IOException.class, () -> open(other, false).close(), shard.toString());
        Refusal.assertRefused(
                () -> files.encode(
                        new EncodingSettings(
                                files.images(),
                                folder,
                                files.vae(),
                                SquareCrop.ADM,
                                12,
                                false,
                                settings.store(),
                                DType.FLOAT32,
                                1,
                                1,
                                1,
                                1),
                        EncodingListener.NONE),
                "size 12",
                "multiple of 8");
    }

    /** Each change of the text makes another manifest or none. */
    @Test
    void wrongManifestsAreRefused() throws IOException {
        String text = Files.readString(whole.resolve(LatentManifest.NAME));
        for (List<String> change : List.of(
                List.of("\"version\" : 1", "\"version\" : 2", "newer mfm"),
                List.of(LatentManifest.FORMAT, "others", "expected " + LatentManifest.FORMAT),
                List.of("\"first\" : 5", "\"first\" : 4", "does not follow"),
                List.of("latents-00001.safetensors", "../latents-00001.safetensors", "does not follow"),
                List.of("\"count\" : 4", "\"count\" : 5", "are skipped"),
                List.of("\"seed\" : 1,", "", "seed"),
                List.of("\"seed\" : 1,", "\"seed\" : 1, \"more\" : 1,", "more"),
                List.of("\"scale\" : 0.18215", "\"scale\" : -1", "scale"),
                List.of("\"size\" : 16", "\"size\" : 15", "multiple of 8"),
                List.of("{", "[", "manifest"))) {
            assertTrue(text.contains(change.getFirst()), () -> change + " of " + text);
            Files.writeString(
                    folder.resolve(LatentManifest.NAME),
                    text.replaceFirst(Pattern.quote(change.getFirst()), Matcher.quoteReplacement(change.get(1))));
            Refusal.assertRefused(
                    IOException.class, () -> LatentManifest.read(folder), LatentManifest.NAME, change.getLast());
        }
        for (int length = 0; length < text.length() - 2; length += 97) {
            Files.writeString(folder.resolve(LatentManifest.NAME), text.substring(0, length));
            assertThrows(IOException.class, () -> LatentManifest.read(folder));
        }
    }

    @Test
    void latentsAreNotWrittenAmongTheImages() {
        Refusal.assertRefused(
                () -> files.encode(files.settings(files.images().resolve("x")), EncodingListener.NONE),
                "is in that of the images");
    }

    @Test
    void settingsOfTheDataMustAgreeWithTheManifest() {
        DataConfig.Builder builder =
                DataConfig.builder().kind(DataConfig.Kind.LATENTS).folder(whole.toString());
        for (DataConfig wrong : List.of(
                builder.scale(0.5).build(),
                builder.scale(null).channels(3).build(),
                builder.channels(null).classes(10).build())) {
            Refusal.assertRefused(
                    IOException.class, () -> Datasets.open(wrong, 1, Device.CPU).close(), "set it to that, or to null");
        }
    }

    /** Images without class folders have one class, which has no name. */
    @Test
    void aFlatFolderHasOneClass() throws IOException {
        Path flat = Files.createDirectories(folder.resolve("flat"));
        Files.copy(files.images().resolve("class a/00.png"), flat.resolve("0.png"));
        Files.copy(files.images().resolve("class b/01.png"), flat.resolve("1.png"));
        Files.writeString(flat.resolve("list.txt"), "no image");
        EncodingSettings base = files.settings(folder.resolve("latents"));
        EncodingSettings settings = new EncodingSettings(
                flat,
                base.latents(),
                base.vae(),
                SquareCrop.TORCHVISION,
                16,
                false,
                base.store(),
                DType.BFLOAT16,
                4,
                1,
                4,
                1);
        LatentManifest manifest = files.encode(settings, EncodingListener.NONE);
        assertEquals(2, manifest.count());
        assertEquals("BF16", manifest.dtype());
        try (Loader data = open(base.latents(), false);
                TensorScope scope = TensorScope.open()) {
            assertEquals(1, data.classes());
            assertEquals(List.of(), data.classNames());
            assertArrayEquals(new long[] {0, 0}, data.batch(0, 2).labels().toLongArray());
        }
        Refusal.assertRefused(IOException.class, () -> new ImageTree(flat), "has no subfolders");
    }

    @Test
    void aFolderWithoutReadableImagesIsRefused() throws IOException {
        Path bad = folder.resolve("bad");
        Files.writeString(Files.createDirectories(bad.resolve("only")).resolve("a.png"), "text");
        EncodingSettings base = files.settings(folder.resolve("latents"));
        EncodingSettings settings = new EncodingSettings(
                bad, base.latents(), base.vae(), base.crop(), 16, true, base.store(), base.dtype(), 1, 1, 4, 1);
        Refusal.assertRefused(
                IOException.class, () -> files.encode(settings, EncodingListener.NONE), "none of its 1 images");
    }
}
