package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.cli.option.ConfigOption;
import org.metaflowmaps.models.vision.TinyNetworks;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * From pictures to latents, a map of them, and its steering and fine-tuning towards a score by text and image, with the
 * built-in configurations and small networks of random weights.
 */
final class LatentImagesTest {
    private static final int SIDE = 32;
    private static final int PICTURES = 6;

    @TempDir
    private static Path folder;

    private static String checkpoint = "";
    private static String vae = "";
    private static String tiny = "";
    private static String reward = "";
    private static String tokenizer = "";
    private long live;

    @BeforeAll
    static void train() throws IOException {
        Path pictures = folder.resolve("pictures");
        for (int i = 0; i < PICTURES; i++) {
            BufferedImage image = new BufferedImage(SIDE, SIDE, BufferedImage.TYPE_INT_RGB);
            for (int x = 0; x < SIDE; x++) {
                for (int y = 0; y < SIDE; y++) {
                    image.setRGB(
                            x,
                            y,
                            (((40 * i + 6 * x) & 255) << 16) | (((90 + 7 * y) & 255) << 8) | ((x * y * (i + 1)) & 255));
                }
            }
            Path of = Files.createDirectories(pictures.resolve(i % 2 == 0 ? "cat" : "dog"));
            ImageIO.write(image, "png", of.resolve(i + ".png").toFile());
        }
        vae = TinyNetworks.weights(folder, "vae").toString();
        tiny = TinyNetworks.weights(folder, "taesd").toString();
        reward = "hpsv2:" + TinyNetworks.weights(folder, "hps");
        tokenizer = TinyNetworks.merges(folder).toString();
        Path latents = folder.resolve("latents");
        mfm(
                        "data",
                        "encode",
                        pictures.toString(),
                        latents.toString(),
                        "--vae",
                        vae,
                        "--size",
                        String.valueOf(SIDE),
                        "--device",
                        "cpu")
                .succeeded();
        Path run = folder.resolve("run");
        mfm(
                        "train",
                        "sit-b2/meta-flow-map",
                        "--device",
                        "cpu",
                        "--out",
                        run.toString(),
                        "data.folder='" + latents + "'",
                        "data.classes=2",
                        "data.workers=0",
                        "init=null",
                        "steps=20",
                        "batch=4",
                        "precision=float32",
                        "optimizer.warm_up=0",
                        "optimizer.learning_rate=5e-3",
                        "loss.diagonal_only=15",
                        "average.start=0",
                        "average.decay=0.9",
                        "checkpoint_every=20",
                        "model.transformer.input_size=4",
                        "model.transformer.hidden_size=16",
                        "model.transformer.depth=2",
                        "model.transformer.num_heads=2",
                        "model.transformer.encoder_depth=1",
                        "model.transformer.label_dim=2")
                .succeeded();
        checkpoint = run.resolve("checkpoint.safetensors").toString();
    }

    @BeforeEach
    void count() {
        live = NativeMemory.liveTensors();
    }

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static Command run(String... words) {
        List<String> all = new ArrayList<>(Arrays.asList(words));
        all.addAll(List.of("--device", "cpu"));
        return mfm(all.toArray(String[]::new));
    }

    private static double mean(String out, String row) {
        Matcher line = Pattern.compile("(?m)^" + row + " +([-.0-9]+)").matcher(out);
        assertTrue(line.find(), out);
        return Double.parseDouble(line.group(1));
    }

    /**
     * The built-in configuration, with small networks. A map of so few steps has no useful derivative of its draws, so
     * the gradient goes through its drift, by DPS; and its drift is too short for a correction of the same length.
     */
    @Test
    void steeringRaisesTheScoreOfDecodedImages() throws IOException {
        Path out = folder.resolve("steered.safetensors");
        String printed = run(
                        "steer",
                        checkpoint,
                        "--config",
                        "sit-b2/steer",
                        "reward=" + reward,
                        "vae=" + vae,
                        "tokenizer=" + tokenizer,
                        "prompt=a photo of a {}",
                        "class=0,1",
                        "--class-names",
                        names("cat", "dog"),
                        "count=2",
                        "steps=8",
                        "method=dps",
                        "renormalise=none",
                        "lambda=20",
                        "precision=float32",
                        "out=" + out)
                .succeeded()
                .out();
        assertTrue(printed.startsWith("reward hpsv2 of model.safetensors: preprocessing imscore"), printed);
        assertTrue(printed.contains("bicubic, antialiased") && printed.contains("of 2 classes"), printed);
        assertTrue(mean(printed, "dps") > mean(printed, "unsteered") + 0.1, printed);
        try (SafetensorsFile file = SafetensorsFile.open(out)) {
            assertEquals(
                    Shape.of(4, 3, SIDE, SIDE),
                    Objects.requireNonNull(file.entries().get("images")).shape());
            assertEquals(
                    Shape.of(4, 4, 4, 4),
                    Objects.requireNonNull(file.entries().get("latents")).shape());
        }
    }

    private static String names(String... names) throws IOException {
        Path file = folder.resolve("names.txt");
        Files.write(file, List.of(names));
        return file.toString();
    }

    @Test
    void fineTuningTakesStepsWithTheBuiltInConfiguration() throws IOException {
        Path out = folder.resolve("tuned");
        String printed = run(
                        "finetune",
                        checkpoint,
                        "--config",
                        "sit-b2/finetune",
                        "data_config=" + Path.of(checkpoint).resolveSibling("config.yaml"),
                        "reward=" + reward,
                        "vae=" + tiny,
                        "tokenizer=" + tokenizer,
                        "class_names=" + names("cat", "dog"),
                        "independent=aesthetic:" + TinyNetworks.weights(folder, "aesthetic"),
                        "independent_samples=3",
                        "independent_steps=2",
                        "evaluate_every=2",
                        "steps=4",
                        "batch=2",
                        "shift_items=4",
                        "log_every=1",
                        "precision=float32",
                        "out=" + out)
                .succeeded()
                .out();
        assertTrue(printed.contains("reward aesthetic of model.safetensors"), printed);
        List<String> lines = Files.readAllLines(out.resolve("metrics.jsonl"));
        assertTrue(lines.getLast().contains("\"step\":4"), lines.getLast());
        assertTrue(lines.stream().anyMatch(line -> line.contains("average/independent_reward")), lines.toString());
        BufferedImage picture = ImageIO.read(
                out.resolve("samples").resolve("step-000000004.png").toFile());
        assertTrue(picture.getWidth() > 3 * 2 * SIDE, picture.toString());
        run(
                        "sample",
                        out.resolve("checkpoint.safetensors").toString(),
                        "--vae",
                        tiny,
                        "--sampler",
                        "ode",
                        "--out",
                        folder.resolve("tuned.png").toString())
                .succeeded();
    }

    @Test
    void samplesAreDecoded() throws IOException {
        Path out = folder.resolve("samples.safetensors");
        String[] common = {"sample", checkpoint, "--class", "1", "--count", "3", "--out", out.toString()};
        run(common).succeeded();
        double[] latents = numbers(out, "images");
        List<String> decoded = new ArrayList<>(Arrays.asList(common));
        decoded.addAll(List.of("--vae", vae));
        run(decoded.toArray(String[]::new)).succeeded();
        assertEquals(Arrays.toString(latents), Arrays.toString(numbers(out, "latents")));
        assertEquals(3 * 3 * SIDE * SIDE, numbers(out, "images").length);
        Path png = folder.resolve("samples.png");
        run("sample", checkpoint, "--class", "1", "--count", "3", "--vae", vae, "--out", png.toString())
                .succeeded();
        assertTrue(ImageIO.read(png.toFile()).getWidth() > 3 * 2 * SIDE);
    }

    private static double[] numbers(Path file, String name) throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(file);
                TensorScope scope = TensorScope.open()) {
            return Safetensors.view(open, name).toDoubleArray();
        }
    }

    /** Samples of a file, and samples drawn meanwhile, are decoded and compared with the pictures of the folder. */
    @Test
    void decodedSamplesAreComparedWithPictures() throws IOException {
        Path inception = TinyNetworks.weights(folder, "inception");
        String[] draw = {"--vae", vae, "--steps", "4", "--seed", "3"};
        Path archive = folder.resolve("samples.npz");
        run(words("sample", checkpoint, draw, "--class", "0,1", "--count", "4", "--sampler", "ode", "--out", archive))
                .succeeded();
        double distance = distance(words("evaluate", "fid", archive), inception);
        assertTrue(distance > 0, () -> "distance " + distance);
        double drawn =
                distance(words("evaluate", "fid", checkpoint, draw, "--class", "0,1", "--count", "8"), inception);
        assertTrue(drawn > 0, () -> "distance " + drawn);
        run("evaluate", "fid", checkpoint, "--inception", inception.toString(), "--reference", archive.toString())
                .failed("--vae FILE");
    }

    private static double distance(String[] begin, Path inception) throws IOException {
        Path out = folder.resolve("fid.json");
        run(words(
                        begin,
                        "--inception",
                        inception,
                        "--reference",
                        folder.resolve("pictures"),
                        "--metrics",
                        "fid",
                        "--out",
                        out))
                .succeeded();
        JsonNode json = JsonMapper.builder().build().readTree(Files.readAllBytes(out));
        return json.path("metrics").path("fid").path("value").asDouble(Double.NaN);
    }

    private static String[] words(Object... parts) {
        return Arrays.stream(parts)
                .flatMap(part -> part instanceof String[] several ? Arrays.stream(several) : Stream.of(part.toString()))
                .toArray(String[]::new);
    }

    /** Methods without gradients take 8-bit images too. */
    @Test
    void otherCommandsDecodeToo() throws IOException {
        String out = folder.resolve("other.safetensors").toString();
        String[] inputs = {
            checkpoint,
            "--reward",
            reward + ",preprocessing=official",
            "--vae",
            tiny,
            "--tokenizer",
            tokenizer,
            "--prompt",
            "a photo of a cat",
            "--class",
            "0"
        };
        with("search", inputs, "--count", "1", "--steps", "2", "--particles", "2", "--draws", "2", "--out", out)
                .succeeded();
        with("filter", inputs, "--count", "1", "--steps", "2", "--particles", "2", "--draws", "1", "--out", out)
                .succeeded();
        with("best-of", inputs, "--count", "1", "--steps", "2", "--pool", "3", "--out", out)
                .succeeded();
        with("steer", inputs, "--method", "mfm-gf", "--count", "1", "--steps", "2", "--out", out)
                .succeeded();
        with("steer", inputs, "--method", "mfm-g", "--count", "1", "--steps", "2", "--out", out)
                .failed("preprocessing=official", "no gradients");
        List<String> calibrate = new ArrayList<>(List.of("reward", "calibrate"));
        calibrate.addAll(Arrays.asList(inputs));
        calibrate.addAll(List.of("--samples", "4", "--steps", "2", "--kl", "0.1"));
        assertTrue(run(calibrate.toArray(String[]::new)).succeeded().out().contains("on 4 samples: mean"));
        List<String> value = new ArrayList<>(List.of("evaluate", "value"));
        value.addAll(Arrays.asList(inputs).subList(0, inputs.length - 2));
        value.addAll(List.of("--items", "4", "--particles", "2", "--path-steps", "2", "--draws", "2", "--steps", "1"));
        value.addAll(List.of(
                "--glass",
                "0",
                "--times",
                "0.5",
                "--out",
                folder.resolve("value").toString()));
        assertTrue(run(value.toArray(String[]::new)).succeeded().out().contains("hpsv2"));
    }

    private static Command with(String command, String[] inputs, String... others) {
        List<String> words = new ArrayList<>(List.of(command));
        words.addAll(Arrays.asList(inputs));
        words.addAll(Arrays.asList(others));
        return run(words.toArray(String[]::new));
    }

    @Test
    void missingInputsAreNamed() throws IOException {
        run("steer", checkpoint, "--reward", "brightness").failed("shape [4, 4, 4]", "--vae FILE");
        run("steer", checkpoint, "--reward", reward, "--vae", vae).failed("--prompt");
        run("steer", checkpoint, "--reward", reward, "--vae", vae, "--prompt", "a cat")
                .failed("needs CLIP's tokenizer");
        run(
                        "steer",
                        checkpoint,
                        "--reward",
                        "brightness",
                        "--vae",
                        folder.resolve("none.pt").toString())
                .failed("none.pt");
        run(
                        "steer",
                        checkpoint,
                        "--reward",
                        "brightness",
                        "--vae",
                        TinyNetworks.weights(folder, "hps").toString())
                .failed("holds no autoencoder");
        run("sample", "--pretrained", "--vae", vae).failed("latents of 4 channels", "[1, 28, 28]");
        run(
                        "steer",
                        checkpoint,
                        "--reward",
                        reward,
                        "--vae",
                        vae,
                        "--tokenizer",
                        tokenizer,
                        "--prompt",
                        "a {}",
                        "--class-names",
                        "imagenet")
                .failed("has 1000 names", "2 classes");
        run(
                        "steer",
                        checkpoint,
                        "--reward",
                        reward,
                        "--vae",
                        vae,
                        "--tokenizer",
                        tokenizer,
                        "--prompt",
                        "a {}",
                        "--class-names",
                        names("cat", "dog"),
                        "--class",
                        "2")
                .failed("images without a class");
        run(
                        "finetune",
                        checkpoint,
                        "--reward",
                        reward,
                        "--vae",
                        vae,
                        "--tokenizer",
                        tokenizer,
                        "--prompt",
                        "a {}",
                        "loss.label_drop=0.1",
                        "--out",
                        folder.resolve("none").toString())
                .failed("loss.label_drop=0");
        run("steer", checkpoint, "--reward", "brightness", "--vae", vae, "--reward-batch", "0")
                .failed("--reward-batch 0");
    }

    /** Every setting of the built-in configurations is read and in range; only the weights are missing. */
    @Test
    void builtInConfigurationsAreValid() {
        for (String name : ConfigOption.BUILT_IN) {
            String command = Path.of(name).getFileName().toString();
            run(command, "none.safetensors", "--config", name).failed("none.safetensors");
        }
        run("steer", checkpoint, "--config", "sit-b2/steeer").refused("does not exist", "sit-b2/steer");
        assertFalse(ConfigOption.BUILT_IN.isEmpty());
    }

    /** The names that the paper's prompts need, in the order of the labels. */
    @Test
    void theIncludedNamesAreThoseOfImageNet() throws IOException {
        try (InputStream in = Objects.requireNonNull(
                LatentImagesTest.class.getResourceAsStream("/org/metaflowmaps/cli/imagenet-classes.txt"))) {
            List<String> names = new String(in.readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .toList();
            assertEquals(1000, names.size());
            assertEquals("tench, Tinca tinca", names.getFirst());
            assertEquals("jellyfish", names.get(107));
            assertEquals("tabby, tabby cat", names.get(281));
            assertEquals("toilet tissue, toilet paper, bathroom tissue", names.getLast());
        }
    }
}
