package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.files;
import static org.metaflowmaps.cli.Command.mfm;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.models.vision.InceptionInput;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.NpzFile;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.steering.evaluation.FeatureSet;
import org.metaflowmaps.steering.evaluation.InceptionFeatures;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** {@code mfm evaluate fid}, by a small network with random weights. */
final class EvaluateFidTest {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final int COUNT = 8;

    @TempDir
    private static Path folder;

    private static Path network = Path.of("");
    private static Path first = Path.of("");
    private static Path second = Path.of("");

    private final long live = NativeMemory.liveTensors();

    @BeforeAll
    static void write() throws IOException {
        network = folder.resolve("inception.safetensors");
        try (InputStream in = EvaluateFidTest.class.getResourceAsStream("/vision/inception.safetensors")) {
            Files.write(network, Objects.requireNonNull(in).readAllBytes());
        }
        first = archive("first.npz", 1, 200);
        second = archive("second.npz", 2, 255);
    }

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static Path archive(String name, long seed, double most) throws IOException {
        Path file = folder.resolve(name);
        try (RandomSource random = RandomSource.seeded(seed);
                TensorScope scope = TensorScope.open()) {
            Tensor images = random.uniform(COUNT, 9, 8, 3).mul(most).to(DType.UINT8);
            NpzFile.write(file, Map.of("arr_0", images));
        }
        return file;
    }

    private static Command run(String words) {
        return mfm(("evaluate fid --device cpu --inception " + network + " " + words).split(" ", -1));
    }

    private static JsonNode json(Path file) throws IOException {
        return JSON.readTree(Files.readAllBytes(file));
    }

    private static double value(JsonNode json, String metric) {
        return json.path("metrics").path(metric).path("value").asDouble(Double.NaN);
    }

    @Test
    void imagesAgainstThemselvesAndAgainstOthers() throws IOException {
        Path out = folder.resolve("self.json");
        String text = run(first + " --reference " + first + " --metrics fid,is,pr,kid --groups 1 --out " + out)
                .succeeded()
                .out();
        JsonNode self = json(out);
        assertEquals(0, value(self, "fid"), 1e-6);
        assertEquals(1, value(self, "precision"));
        assertEquals(1, value(self, "recall"));
        assertTrue(value(self, "kid") <= 0, "unbiased: its self-pairs are left out");
        assertTrue(value(self, "inception_score") >= 1);
        assertEquals(COUNT, self.path("metrics").path("fid").path("n").asInt());
        for (String part : List.of(
                "count: 8",
                "preset: adm",
                "quantisation: uint8",
                "SHA-256",
                "TensorFlow 1",
                "against",
                "8 images",
                "note: 8 samples are too few")) {
            assertTrue(text.contains(part), part + " in " + text);
        }
        run(second + " --reference " + first + " --metrics fid,kid,pr --out " + out)
                .succeeded();
        JsonNode apart = json(out);
        assertTrue(value(apart, "fid") > 100 * Math.abs(value(self, "fid")));
        assertTrue(value(apart, "kid") > value(self, "kid"));
        assertTrue(apart.path("metrics").path("fid").path("standard_error").asDouble() >= 0);
        assertTrue(apart.path("metrics").path("sfid").isMissingNode());
        double adm = value(apart, "fid");
        for (String preset : List.of("pytorch-fid", "clean-fid")) {
            run(second + " --reference " + first + " --metrics fid --preset " + preset + " --out " + out)
                    .succeeded();
            assertEquals(preset, json(out).path("preset").asString());
            assertNotEquals(adm, value(json(out), "fid"), 1e-6 * adm);
        }
    }

    /** The same pixels as files and as an archive, and statistics instead of images. */
    @Test
    void foldersArchivesAndStatisticsAgree() throws IOException {
        Path pictures = folder.resolve("pictures");
        try (NpzFile open = NpzFile.open(second);
                TensorScope scope = TensorScope.open()) {
            long[] pixels = open.read("arr_0").toLongArray();
            for (int i = 0; i < COUNT; i++) {
                BufferedImage image = new BufferedImage(8, 9, BufferedImage.TYPE_INT_RGB);
                for (int at = 0; at < 72; at++) {
                    int from = (i * 72 + at) * 3;
                    image.setRGB(
                            at % 8, at / 8, (int) ((pixels[from] << 16) | (pixels[from + 1] << 8) | pixels[from + 2]));
                }
                Path file = pictures.resolve(String.format(Locale.ROOT, "%d/%02d.png", i / 5, i));
                Files.createDirectories(file.getParent());
                ImageIO.write(image, "png", file.toFile());
            }
        }
        Path statistics = folder.resolve("statistics.npz");
        Path out = folder.resolve("agree.json");
        String saved = run(first + " --groups 1 --save-statistics " + statistics)
                .succeeded()
                .out();
        assertTrue(saved.contains("reference: none") && saved.contains("note: no fid: no --reference"), saved);
        run(second + " --reference " + first + " --metrics fid,is --groups 1 --out " + out)
                .succeeded();
        JsonNode images = json(out);
        String text = run(pictures + " --reference " + statistics + " --groups 1 --batch 5 --out " + out)
                .succeeded()
                .out();
        JsonNode published = json(out);
        for (String metric : List.of("fid", "inception_score")) {
            assertEquals(value(images, metric), value(published, metric), 1e-5 * value(images, metric), metric);
        }
        // The spatial features of other images.
        assertTrue(value(published, "sfid") > 0.1 * value(published, "fid"), published.toString());
        assertTrue(published.path("metrics").path("precision").isMissingNode());
        assertTrue(text.contains("note: no pr: ") && text.contains("has subfolders"), text);
        assertTrue(text.contains("statistics of the file"), text);
        run(pictures + " --reference " + statistics + " --metrics pr").failed("--metrics pr", "has no images");
    }

    @Test
    void storedFeaturesAreUsedAndMadeInParts() throws IOException {
        Path store = folder.resolve("store");
        Path out = folder.resolve("stored.json");
        String words =
                second + " --reference " + first + " --metrics fid --groups 1 --features " + store + " --out " + out;
        run(words).succeeded();
        double computed = value(json(out), "fid");
        List<String> files = files(store);
        assertEquals(2, files.size(), files.toString());
        assertTrue(files.stream().allMatch(file -> file.endsWith("00000000.safetensors")), files.toString());
        run(words).succeeded();
        assertEquals(computed, value(json(out), "fid"));
        assertEquals(files, files(store));
        // Another preset has other features.
        run(words + " --preset clean-fid").succeeded();
        assertEquals(4, files(store).size());
        for (String file : files) {
            Path path = store.resolve(file);
            Map<String, Tensor> tensors = new HashMap<>();
            try (TensorScope scope = TensorScope.open()) {
                try (SafetensorsFile open = SafetensorsFile.open(path)) {
                    for (String name : open.entries().keySet()) {
                        tensors.put(name, open.view(name).clone());
                    }
                }
                tensors.put("pool", Objects.requireNonNull(tensors.get("pool")).mul(2));
                Safetensors.write(path, Map.of(), tensors);
            }
        }
        run(words).succeeded();
        assertEquals(4 * computed, value(json(out), "fid"), 1e-5 * computed, "features were read, not computed");
        Path damaged = store.resolve(files.getFirst());
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(damaged, Map.of(), Map.of("pool", Torch.zeros(3, 3)));
        }
        run(words).failed("00000000.safetensors", "delete the file");
        // A run that stopped within a set has some of its parts.
        Path parts = folder.resolve("parts");
        double[] whole = covariance(null, 100);
        assertArrayEquals(whole, covariance(parts, 3), 1e-6);
        List<String> made = files(parts);
        assertEquals(3, made.size());
        Files.delete(parts.resolve(made.get(1)));
        assertArrayEquals(whole, covariance(parts, 3), 1e-6);
        assertEquals(made, files(parts));
    }

    private static double[] covariance(@Nullable Path store, int part) throws IOException {
        try (InceptionFeatures features = InceptionFeatures.load(network, InceptionInput.TENSORFLOW, Device.CPU);
                ImageSource images = new ArchiveImages(first);
                FeatureSet set = new FeatureSet(COUNT, 1, false)) {
            new FeatureStore(features, "network", false, store, 2, part).fill(set, images, "features");
            assertTrue(set.spatial().isEmpty());
            return set.pool().covariance();
        }
    }

    @Test
    void samplesOfAMapAreDrawn() throws IOException {
        Path out = folder.resolve("drawn.json");
        String words = "--pretrained --count 6 --steps 1 --class 3,4 --metrics fid,is --groups 1 --reference " + first
                + " --out " + out;
        String text = run(words).succeeded().out();
        assertTrue(text.contains("6 samples by ode, 1 steps, seed 1, labels 3, 4 in turn"), text);
        assertTrue(text.contains("floor(127.5 x + 128), clipped, grey repeated"), text);
        double one = value(json(out), "fid");
        run(words + " --batch 4").succeeded();
        assertEquals(one, value(json(out), "fid"), 1e-5 * one);
        run(words + " --seed 2").succeeded();
        assertNotEquals(one, value(json(out), "fid"));
    }

    /** Features of samples with other labels, or of another device, must not be taken for these. */
    @Test
    void storedFeaturesOfSamplesAreThoseOfTheirSettings() throws IOException {
        Path features = folder.resolve("features");
        for (String classes : List.of("0,1,2", "0,5,2")) {
            String text = run("--pretrained --count 3 --steps 1 --metrics fid --class " + classes + " --reference "
                            + first + " --features " + features)
                    .succeeded()
                    .out();
            String labels = classes.equals("0,5,2") ? "labels 0, 5, 2 in turn" : "labels 0 to 2 in turn";
            assertTrue(text.contains(labels), text);
        }
        try (Stream<Path> stored = Files.list(features)) {
            assertEquals(3, stored.filter(Files::isDirectory).count(), "of two sets of samples and the reference");
        }
    }

    /** As the public MFM code draws and stores samples; the features of one way are not those of the other. */
    @Test
    void labelsMayBeRandomAndLevelsTruncated() throws IOException {
        Path out = folder.resolve("random.json");
        String words = "--pretrained --count 6 --steps 1 --class 3,4 --metrics fid --groups 1 --features "
                + folder.resolve("ways") + " --reference " + first + " --out " + out;
        run(words).succeeded();
        double inTurn = value(json(out), "fid");
        String text =
                run(words + " --labels random --quantise truncate").succeeded().out();
        assertTrue(text.contains("labels 3, 4 at random, truncate"), text);
        assertTrue(text.contains("quantisation: floor(127.5 x + 127.5), clipped, grey repeated"), text);
        double random = value(json(out), "fid");
        assertNotEquals(inTurn, random);
        run(words + " --labels random --quantise truncate").succeeded();
        assertEquals(random, value(json(out), "fid"));
    }

    @Test
    void anArchiveOfSamplesHasClassesInTurn() throws IOException {
        Path file = folder.resolve("drawn.npz");
        String words = "sample --pretrained --device cpu --count 3 --steps 1 --class 5,7 --out " + file;
        mfm(words.split(" ", -1)).succeeded();
        try (NpzFile open = NpzFile.open(file);
                TensorScope scope = TensorScope.open()) {
            Tensor images = open.read("arr_0");
            assertEquals(Shape.of(6, 28, 28, 1), images.shape());
            assertEquals(DType.UINT8, images.dtype());
            assertTrue(images.max().item() > 128);
            assertArrayEquals(new long[] {5, 7, 5, 7, 5, 7}, open.read("arr_1").toLongArray());
        }
        String text = run(file + " --metrics is").succeeded().out();
        assertTrue(text.contains("6 images of 28 x 28") && text.contains("grey repeated"), text);
    }

    @Test
    void wishesThatDoNotFit() throws IOException {
        mfm("evaluate", "fid", first.toString()).refused("--inception");
        run("--groups 1").failed("no samples were given");
        run(first + " --pretrained").failed("give one of them");
        run(first + " --metrics fid").failed("--metrics fid", "no --reference");
        run(first + " --metrics fit").refused("fit", "sfid");
        run(first + " --preset torch").refused("torch", "pytorch-fid");
        run(first + " --groups 0").failed("--groups 0");
        run(first + " --batch 0").failed("--batch 0");
        run(first + " --out x.txt").failed("x.txt", ".json");
        run(first + " --save-statistics x.txt").failed("x.txt", ".npz");
        run("--pretrained --count 1").failed("--count 1");
        run(folder.resolve("missing.npz").toString()).failed("missing.npz");
        run(first + " --reference " + folder.resolve("missing.npz")).failed("missing.npz");
        Path empty = Files.createDirectories(folder.resolve("empty"));
        run(empty.toString()).failed("empty", ".png");
        run(first + " --reference " + network).failed("not a whole archive");
        Path other = folder.resolve("other.npz");
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            Tensor numbers = random.uniform(3, 4, 4, 3);
            NpzFile.write(other, Map.of("arr_0", numbers));
            run(other.toString()).failed("float32", "uint8", "round them");
            NpzFile.write(other, Map.of("arr_0", numbers.to(DType.UINT8).narrow(0, 0, 1)));
            run(other.toString()).failed("1 images", "at least 2");
            run(first + " --reference " + other).failed("1 image", "at least 2");
            NpzFile.write(other, Map.of("mu", numbers));
            run(first + " --reference " + other).failed("[mu]", "sigma");
            NpzFile.write(
                    other,
                    Map.of(
                            "mu", random.uniform(5),
                            "sigma", random.uniform(5, 5)));
            run(first + " --reference " + other).failed("mu has 5", "128");
            NpzFile.write(
                    other,
                    Map.of(
                            "mu", random.uniform(128).log().log(),
                            "sigma", random.uniform(128, 128)));
            run(first + " --reference " + other).failed("other.npz", "not finite");
        }
        Command gone = mfm(
                "evaluate",
                "fid",
                first.toString(),
                "--device",
                "cpu",
                "--inception",
                folder.resolve("no.pth").toString());
        gone.failed("no.pth");
        assertFalse(Files.exists(folder.resolve("x.txt")));
    }
}
