package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;

/** Hold-out, flips and damaged items of folders. */
final class FolderReadingTest {
    /** Classes a, b and c have 12, 6 and 2 images. */
    private static final int[] SIZES = {12, 6, 2};

    @TempDir
    private Path folder = Path.of("");

    /** Returns two pixels: the item's number on the left, black on the right. */
    private static void write(Path file, int number) throws IOException {
        Files.createDirectories(file.getParent());
        BufferedImage image = new BufferedImage(2, 2, BufferedImage.TYPE_BYTE_GRAY);
        image.getRaster().setSamples(0, 0, 1, 2, 0, new int[] {10 * number + 5, 10 * number + 5});
        assertTrue(ImageIO.write(image, "png", file.toFile()));
    }

    @BeforeEach
    void write() throws IOException {
        int number = 0;
        for (int label = 0; label < SIZES.length; label++) {
            for (int i = 0; i < SIZES[label]; i++) {
                write(folder.resolve("abc".substring(label, label + 1)).resolve("%02d.png".formatted(i)), number++);
            }
        }
    }

    private Loader open(Reading reading) throws IOException {
        return new Loader(new ImageFolder(folder, 2, 1), 5, reading, Device.CPU);
    }

    private static Reading holding(int count) {
        return new Reading(0, count, false, false, 0);
    }

    private static Reading skipping(int workers, double share) {
        return new Reading(workers, 0, false, true, share);
    }

    /** Returns the items' numbers, negative for mirrored items. */
    private static int[] numbers(TrainingData.Batch batch) {
        float[] items = batch.items().toFloatArray();
        return IntStream.range(0, items.length / 4)
                .map(i -> {
                    int left = Math.round((items[4 * i] + 1) * 127.5f);
                    int right = Math.round((items[4 * i + 1] + 1) * 127.5f);
                    assertTrue(left == 0 || right == 0);
                    return left > 0 ? left / 10 : -(right / 10) - 1;
                })
                .toArray();
    }

    private static int[] numbers(TrainingData data, long position, int count) {
        try (TensorScope scope = TensorScope.open()) {
            return numbers(data.batch(position, count));
        }
    }

    private static Set<Integer> held(TrainingData data) {
        try (TensorScope scope = TensorScope.open()) {
            return Arrays.stream(numbers(data.heldOut(0, data.heldOut())))
                    .boxed()
                    .collect(Collectors.toCollection(TreeSet::new));
        }
    }

    @Test
    void heldOutImagesAreNeverGivenAndEachClassGivesItsShare() throws IOException {
        long live = NativeMemory.liveTensors();
        try (Loader data = open(holding(5));
                TensorScope scope = TensorScope.open()) {
            assertEquals(5, data.heldOut());
            assertArrayEquals(
                    new long[] {0, 0, 0, 1, 1}, data.heldOut(0, 5).labels().toLongArray());
            assertArrayEquals(new long[] {0, 1}, data.heldOut(2, 2).labels().toLongArray());
            Set<Integer> held = held(data);
            Set<Integer> seen =
                    Arrays.stream(numbers(data, 0, 15)).boxed().collect(Collectors.toCollection(TreeSet::new));
            assertEquals(15, seen.size(), "each once an epoch");
            assertTrue(seen.stream().noneMatch(held::contains), () -> seen + " " + held);
            assertTrue(
                    data.summary()
                            .contains("20 images in 3 classes (a 12, b 6, c 2), 5 of them held out; skipped:"
                                    + " nothing"),
                    data::summary);
            Refusal.assertRefused(() -> data.heldOut(4, 2), "of the 5 there are");
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void theChoiceDependsOnNamesOnly() throws IOException {
        Set<Integer> held;
        try (Loader data = open(holding(5))) {
            held = held(data);
        }
        try (Loader data = new Loader(new ImageFolder(folder, 2, 1), 99, holding(5), Device.CPU)) {
            assertEquals(held, held(data), "another seed");
        }
        write(folder.resolve("a/new.png"), 24);
        try (Loader data = open(holding(5))) {
            Set<Integer> now = held(data);
            now.retainAll(held);
            assertTrue(now.size() >= 4, "one more image changes at most one: " + now + " of " + held);
        }
    }

    @Test
    void everyClassKeepsOneToTrainOn() throws IOException {
        try (Loader data = open(holding(17));
                TensorScope scope = TensorScope.open()) {
            long[] labels = data.batch(0, 3).labels().toLongArray();
            Arrays.sort(labels);
            assertArrayEquals(new long[] {0, 1, 2}, labels);
        }
        Refusal.assertRefused(() -> open(holding(18)).close(), "data.hold_out is 18, expected at most 17");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 3})
    void flipsDependOnSeedAndPlaceOnly(int workers) throws IOException {
        Reading flipping = new Reading(workers, 0, true, false, 0);
        try (Loader whole = open(new Reading(0, 0, true, false, 0));
                Loader parts = open(flipping);
                Loader plain = open(Reading.of(0))) {
            int[] all = numbers(whole, 0, 400);
            int[] unflipped = numbers(plain, 0, 400);
            long mirrored = Arrays.stream(all).filter(number -> number < 0).count();
            assertTrue(mirrored > 150 && mirrored < 250, mirrored + " of 400");
            for (int i = 0; i < 400; i++) {
                assertEquals(unflipped[i], all[i] < 0 ? -all[i] - 1 : all[i]);
            }
            assertFalse(
                    Arrays.equals(Arrays.copyOf(all, 20), Arrays.copyOfRange(all, 20, 40)), "new draws every epoch");
            for (long position : new long[] {0, 7, 14, 100, 393, 3}) {
                assertArrayEquals(
                        Arrays.copyOfRange(all, (int) position, (int) position + 7),
                        numbers(parts, position, 7),
                        "from " + position);
            }
        }
    }

    /** The same images in memory are mirrored at the same positions. */
    @Test
    void imagesInMemoryAreFlippedAlike() throws IOException {
        byte[] pixels = new byte[20 * 4];
        byte[] labels = new byte[20];
        for (int i = 0; i < 20; i++) {
            pixels[4 * i] = (byte) (10 * i + 5);
            pixels[4 * i + 2] = (byte) (10 * i + 5);
        }
        LabelledImages images = new LabelledImages(pixels, 1, 2, 2, labels, List.of("0"));
        try (Loader memory = new Loader(new ImageData(images), 5, new Reading(0, 0, true, false, 0), Device.CPU);
                Loader files = open(new Reading(0, 0, true, false, 0))) {
            assertArrayEquals(numbers(files, 11, 60), numbers(memory, 11, 60));
            assertEquals(List.of(), memory.classNames(), "numbers are no names");
        }
        try (Loader memory = new Loader(new ImageData(images), 5, new Reading(0, 5, true, false, 0), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            assertEquals(5, memory.heldOut());
            assertArrayEquals(new int[] {16, 17, 18}, numbers(memory.heldOut(1, 3)));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 3})
    void damagedItemsAreReplacedAlikeWhoeverReads(int workers) throws IOException {
        for (String name : List.of("a/03.png", "b/01.png")) {
            Files.writeString(folder.resolve(name), "this is a text");
        }
        Set<Integer> damaged = Set.of(3, 13);
        try (Loader whole = open(skipping(0, 0.1));
                Loader parts = open(skipping(workers, 0.1))) {
            int[] all = numbers(whole, 0, 200);
            assertTrue(Arrays.stream(all).noneMatch(damaged::contains));
            assertEquals(20, whole.replaced(), "two an epoch");
            Set<Integer> inTheirPlace = new TreeSet<>();
            for (int epoch = 0; epoch < 10; epoch++) {
                int[] sorted = Arrays.copyOfRange(all, 20 * epoch, 20 * epoch + 20);
                Arrays.sort(sorted);
                for (int i = 1; i < 20; i++) {
                    if (sorted[i] == sorted[i - 1]) {
                        inTheirPlace.add(sorted[i]);
                    }
                }
            }
            assertTrue(inTheirPlace.size() > 5, "not always the same one: " + inTheirPlace);
            for (long position : new long[] {0, 9, 18, 90, 191, 4}) {
                assertArrayEquals(
                        Arrays.copyOfRange(all, (int) position, (int) position + 9),
                        numbers(parts, position, 9),
                        "from " + position);
            }
        }
        try (Loader strict = open(skipping(workers, 0.05))) {
            UncheckedIOException thrown = assertThrows(UncheckedIOException.class, () -> numbers(strict, 0, 20));
            assertTrue(
                    String.valueOf(thrown.getMessage())
                            .startsWith("2 of 20 items are damaged, more than data.skip_at_most = 0.05 allows (1)"),
                    thrown::toString);
        }
    }

    @Test
    void aFolderOfDamagedItemsEnds() throws IOException {
        for (int i = 0; i < 12; i++) {
            Files.writeString(folder.resolve("a/%02d.png".formatted(i)), "");
        }
        for (int i = 0; i < 6; i++) {
            Files.writeString(folder.resolve("b/%02d.png".formatted(i)), "");
        }
        Files.writeString(folder.resolve("c/00.png"), "");
        Files.writeString(folder.resolve("c/01.png"), "");
        try (Loader data = open(skipping(0, 1))) {
            UncheckedIOException thrown = assertThrows(UncheckedIOException.class, () -> numbers(data, 0, 1));
            assertTrue(String.valueOf(thrown.getMessage()).contains("items are damaged"), thrown::toString);
        }
    }

    @Test
    void whatIsPassedOverIsCounted() throws IOException {
        Files.writeString(folder.resolve("a/.hidden"), "");
        Files.writeString(folder.resolve("a/notes.TXT"), "");
        Files.writeString(folder.resolve("b/x.webp"), "");
        Files.writeString(folder.resolve("loose.png"), "");
        Files.createDirectories(folder.resolve("a/nested"));
        Files.createDirectories(folder.resolve("empty"));
        Files.createSymbolicLink(folder.resolve("a/broken.png"), Path.of("nowhere"));
        Files.createSymbolicLink(folder.resolve("a/loop.png"), Path.of("loop.png"));
        Files.createSymbolicLink(folder.resolve("a/up"), Path.of(".."));
        try (Loader data = open(Reading.of(0))) {
            assertEquals(20, data.count());
            assertEquals(List.of("a", "b", "c"), data.classNames());
            assertTrue(
                    data.summary()
                            .endsWith("skipped: 1 .txt, 1 .webp, 1 beside the class folders, 2 broken links, 1 empty"
                                    + " class folders, 2 folders inside class folders, 1 hidden"),
                    data::summary);
        }
        Files.createDirectories(folder.resolve("deep/er"));
        Refusal.assertRefused(
                IOException.class,
                () -> open(Reading.of(0)).close(),
                folder.resolve("deep") + " holds no PNG or JPEG file, but 1 folders");
    }

    @Test
    void oneImageIsEnoughAndNamesMayBeAnything() throws IOException {
        Path one = folder.resolve("one");
        write(one.resolve("Größe 日本/ünïcode ☃.png"), 3);
        try (Loader data = new Loader(new ImageFolder(one, 2, 1), 1, Reading.of(1), Device.CPU)) {
            assertEquals(List.of("Größe 日本"), data.classNames());
            assertArrayEquals(new int[] {3, 3, 3}, numbers(data, 0, 3));
        }
    }

    private Path latents(float bad, long label) throws IOException {
        Path place = Files.createDirectories(folder.resolve("latents"));
        float[] values = new float[8 * 4];
        for (int i = 0; i < values.length; i++) {
            values[i] = Math.floorDiv(i, 4);
        }
        values[13] = bad;
        long[] labels = {0, 1, 0, 1, 0, label, 0, 1};
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(
                    place.resolve("x.safetensors"),
                    Map.of(),
                    Map.of("latents", Torch.of(values, 8, 1, 2, 2), "labels", Torch.of(labels)));
        }
        return place;
    }

    private static Loader latents(Path place, Reading reading) throws IOException {
        return new Loader(
                new LatentShards(place, 1, 2, 1, reading.skip() ? DataConfig.OnError.SKIP : DataConfig.OnError.STOP),
                5,
                reading,
                Device.CPU);
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void latentsThatAreNotFiniteAreDamaged(float bad) throws IOException {
        Path place = latents(bad, 1);
        try (Loader data = latents(place, Reading.of(1));
                TensorScope scope = TensorScope.open()) {
            UncheckedIOException thrown = assertThrows(UncheckedIOException.class, () -> data.batch(0, 8));
            assertTrue(
                    String.valueOf(thrown.getMessage())
                            .startsWith(place.resolve("x.safetensors") + ": latent 3 holds " + bad),
                    thrown::toString);
        }
        try (Loader data = latents(place, skipping(1, 0.1));
                TensorScope scope = TensorScope.open()) {
            Tensor items = data.batch(0, 16).items();
            assertEquals(1, items.isFinite().all().item());
            assertEquals(2, data.replaced());
        }
        assertEquals(1, DataCheck.of(place, 9).damaged());
    }

    @Test
    void labelsOutOfRangeAreDamaged() throws IOException {
        Path place = latents(0, 2);
        Refusal.assertRefused(
                IOException.class, () -> latents(place, Reading.of(1)).close(), "label 5 is 2", "data.classes is 2");
        try (Loader data = latents(place, skipping(1, 0.1));
                TensorScope scope = TensorScope.open()) {
            assertTrue(Arrays.stream(data.batch(0, 80).labels().toLongArray())
                    .allMatch(label -> label == 0 || label == 1));
            assertEquals(10, data.replaced());
        }
    }

    private static boolean trains(Path place, int channels, int classes) throws IOException {
        try (Loader data = new Loader(new LatentShards(place, channels, classes, 1), 5, Reading.of(0), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            return data.batch(0, data.count()).items().isFinite().all().item() == 1;
        } catch (UncheckedIOException | IOException e) {
            return false;
        }
    }

    /** A check that knows the settings finds damage exactly where training does. */
    @ParameterizedTest
    @CsvSource({"0, NaN", "0, Infinity", "0, -Infinity", "0, 1", "5, NaN", "5, Infinity", "5, -Infinity", "5, 1"})
    void checkAndTrainingAgreeOnMoments(int place, float value) throws IOException {
        Path latents = Files.createDirectories(folder.resolve("moments"));
        float[] values = new float[3 * 8];
        values[8 + place] = value;
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(
                    latents.resolve("x.safetensors"),
                    Map.of(),
                    Map.of("latents", Torch.of(values, 3, 2, 2, 2), "labels", Torch.of(new long[] {0, 1, 2})));
        }
        for (int channels = 1; channels <= 3; channels++) {
            for (int classes = 1; classes <= 4; classes++) {
                assertEquals(
                        trains(latents, channels, classes),
                        DataCheck.of(latents, 9, new DataCheck.Expected(channels, classes))
                                        .damaged()
                                == 0,
                        channels + " channels, " + classes + " classes");
            }
        }
        DataCheck.Report report = DataCheck.of(latents, 9);
        boolean open = Float.isInfinite(value) && place == 5;
        assertEquals(Float.isFinite(value) || open ? 0 : 1, report.damaged());
        assertEquals(
                open,
                report.summary().getLast().startsWith("1 latents hold infinite numbers"),
                () -> report.summary().toString());
        Refusal.assertRefused(() -> new DataCheck.Expected(0, null), "data.channels is 0");
    }

    @Test
    void checkAndTrainingAgreeOnFilesWithoutItems() throws IOException {
        Path latents = Files.createDirectories(folder.resolve("nothing"));
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(
                    latents.resolve("x.safetensors"),
                    Map.of(),
                    Map.of("latents", Torch.zeros(0, 2, 2, 2), "labels", Torch.zeros(DType.INT64, Device.CPU, 0)));
            assertFalse(trains(latents, 2, 1));
            assertEquals(1, DataCheck.of(latents, 9).damaged());
            Safetensors.write(
                    latents.resolve("x.safetensors"),
                    Map.of(),
                    Map.of("latents", Torch.zeros(1, 2, 0, 2), "labels", Torch.zeros(DType.INT64, Device.CPU, 1)));
        }
        assertFalse(trains(latents, 2, 1));
        assertEquals(1, DataCheck.of(latents, 9).damaged());
    }

    @Test
    void checkAndTrainingAgreeOnIdxLabels() throws IOException {
        Path set = Files.createDirectories(folder.resolve("set"));
        Files.write(
                set.resolve("train-images-idx3-ubyte"), new byte[] {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7});
        Files.write(set.resolve("train-labels-idx1-ubyte"), new byte[] {0, 0, 8, 1, 0, 0, 0, 1, 4});
        assertEquals(0, DataCheck.of(set, 9).damaged());
        assertEquals(0, DataCheck.of(set, 9, new DataCheck.Expected(null, 5)).damaged());
        assertEquals(1, IdxImages.train(set, 5).count());
        DataCheck.Report report = DataCheck.of(set, 9, new DataCheck.Expected(null, 4));
        assertEquals(1, report.damaged());
        Refusal.assertRefused(
                IOException.class,
                () -> IdxImages.train(set, 4),
                report.problems().getFirst());
    }

    @Test
    void latentsAreHeldOut() throws IOException {
        Path place = latents(0, 1);
        try (Loader data = latents(place, holding(2));
                TensorScope scope = TensorScope.open()) {
            TrainingData.Batch held = data.heldOut(0, 2);
            assertArrayEquals(
                    new long[] {0, 1},
                    Arrays.stream(held.labels().toLongArray()).sorted().toArray());
            Set<Float> seen = Arrays.stream(numbersOf(data.batch(0, 6).items()))
                    .boxed()
                    .map(i -> (float) i)
                    .collect(Collectors.toSet());
            assertEquals(6, seen.size());
            for (int number : numbersOf(held.items())) {
                assertFalse(seen.contains((float) number));
            }
        }
        Refusal.assertRefused(
                () -> latents(place, new Reading(0, 0, true, false, 0)).close(), "latents cannot be mirrored");
    }

    /** Returns each latent's first number, which identifies it. */
    private static int[] numbersOf(Tensor items) {
        float[] values = items.toFloatArray();
        return IntStream.range(0, values.length / 4)
                .map(i -> (int) values[4 * i])
                .toArray();
    }

    @Test
    void checksListEveryBadFile() throws IOException {
        Files.writeString(folder.resolve("a/03.png"), "<html>");
        Files.write(folder.resolve("b/01.png"), new byte[0]);
        DataCheck.Report report = DataCheck.of(folder, 1);
        assertEquals("images", report.kind());
        assertEquals(2, report.damaged());
        assertEquals(1, report.problems().size());
        assertTrue(report.problems()
                .getFirst()
                .startsWith(folder.resolve("a/03.png") + " cannot be read as a PNG or JPEG image (it is an HTML page"));
        assertTrue(DataCheck.kind(Files.createDirectories(folder.resolve("a/none")))
                .isEmpty());
    }
}
