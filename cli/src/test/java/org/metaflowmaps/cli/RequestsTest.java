package org.metaflowmaps.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.training.config.Configs;

/** Requests work for data of any kind, in parts if they are large; too large requests are refused with both sizes. */
class RequestsTest {
    @TempDir
    private static Path folder = Path.of("");

    private static String checkpoint = "";
    private long live;

    @BeforeAll
    static void train() {
        Path run = folder.resolve("a run");
        tiny("train", "quickstart", "--device", "cpu", "--out", run.toString()).succeeded();
        checkpoint = run.resolve("checkpoint.safetensors").toString();
    }

    @BeforeEach
    void count() {
        live = NativeMemory.liveTensors();
    }

    @AfterEach
    void nothingIsLeft() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static String out(String name) {
        return folder.resolve(name).toString();
    }

    @Test
    void requestsThatMemoryLacksForNameTheSetting() throws IOException {
        String most = Integer.toString(Integer.MAX_VALUE);
        mfm("sample", checkpoint, "--device", "cpu", "--count", most, "--out", out("x.png"))
                .failed("a picture of 10 rows of " + most, "--out");
        mfm("sample", checkpoint, "--device", "cpu", "--count", most, "--out", out("x.safetensors"))
                .failed("--count " + most, "iB are free");
        mfm("posterior", checkpoint, "--device", "cpu", "--draws", most, "--out", out("x.png"))
                .failed("--draws " + most, "iB are free");
        String run = out("none");
        mfm("train", "quickstart", "--device", "cpu", "--out", run, "batch=" + most)
                .failed("config: batch " + most, "lower batch");
        mfm("train", "mixture/flow", "--device", "cpu", "--out", run, "model.mlp.width=2000000000")
                .failed("mlp: width 2000000000");
        mfm("train", "mixture/flow", "--device", "cpu", "--out", run, "model.mlp.width=2000000")
                .failed("are free: lower the model's width");
        mfm("train", "mixture/flow", "--device", "cpu", "--out", run, "model.mlp.depth=" + most)
                .failed("are free: lower the model's width");
        mfm("train", "quickstart", "--device", "cpu", "--out", run, "steps=" + Long.MAX_VALUE)
                .failed("lower steps");
        mfm(
                        "train",
                        "quickstart",
                        "--device",
                        "cpu",
                        "--out",
                        run,
                        "data.kind=images",
                        "data.folder=x",
                        "data.size=2000000000")
                .failed("data.size is 2000000000");
        mfm(
                        "train",
                        "quickstart",
                        "--device",
                        "cpu",
                        "--out",
                        run,
                        "data.kind=idx",
                        "data.folder=x",
                        "data.classes=" + most)
                .failed("1 to 127");
        assertTrue(Files.notExists(Path.of(run)));
    }

    @Test
    void aConfigurationThatIsNoText() throws IOException {
        Path large = Files.write(folder.resolve("large.yaml"), new byte[2_000_000]);
        mfm("train", large.toString(), "--out", out("none")).failed("2000000 bytes, expected a YAML file");
        StringBuilder bomb = new StringBuilder("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for (int i = 1; i < 30; i++) {
            bomb.append("a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n"
                    .formatted(i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1));
        }
        Path aliases = Files.writeString(folder.resolve("aliases.yaml"), bomb);
        assertEquals(1, mfm("train", aliases.toString(), "--out", out("none")).code());
        Path deep = Files.writeString(folder.resolve("deep.yaml"), "data: " + "[".repeat(100_000));
        assertEquals(1, mfm("train", deep.toString(), "--out", out("none")).code());
        Files.delete(large);
    }

    /** More than one pass is needed: every sample is returned. */
    @Test
    void manySamplesAreDrawnInParts() throws IOException {
        int count = 100_000;
        mfm(
                        "sample",
                        checkpoint,
                        "--device",
                        "cpu",
                        "--class",
                        "3",
                        "--count",
                        Integer.toString(count),
                        "--steps",
                        "1",
                        "--out",
                        out("many.safetensors"))
                .succeeded();
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("many.safetensors"))) {
            assertEquals(
                    Shape.of(count, 1, 28, 28),
                    Objects.requireNonNull(file.entries().get("images")).shape());
            try (TensorScope scope = TensorScope.open()) {
                assertTrue(Safetensors.view(file, "images").var(0).min().item() > 0.01);
            }
        }
        Files.delete(folder.resolve("many.safetensors"));
    }

    @Test
    void posteriorsOfVectorsAreNumbers() throws IOException {
        Path run = folder.resolve("vectors");
        mfm(
                        "train",
                        "mixture/meta-flow-map",
                        "--device",
                        "cpu",
                        "--out",
                        run.toString(),
                        "steps=1",
                        "batch=2",
                        "model.mlp.width=4",
                        "model.mlp.depth=1")
                .succeeded();
        String vectors = run.resolve("checkpoint.safetensors").toString();
        mfm("posterior", vectors, "--device", "cpu", "--out", out("x.png"))
                .failed("holds a map of vectors", "--out FILE.safetensors");
        mfm("posterior", vectors, "--device", "cpu", "--draws", "5", "--time", "0.5", "--out", out("v.safetensors"))
                .succeeded();
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("v.safetensors"))) {
            assertEquals(
                    Shape.of(4, 5, 2),
                    Objects.requireNonNull(file.entries().get("draws")).shape());
            assertEquals(
                    Shape.of(4, 1, 2),
                    Objects.requireNonNull(file.entries().get("clean")).shape());
            assertEquals(
                    Shape.of(4),
                    Objects.requireNonNull(file.entries().get("times")).shape());
        }
        mfm("evaluate", "drift", vectors, "--device", "cpu", "--items", "4", "--draws", "2")
                .succeeded();
    }

    @Test
    void posteriorsOfPicturesInFoldersAndOfLatents() throws IOException {
        Path pictures = folder.resolve("pictures");
        for (String name : List.of("cats", "dogs")) {
            Path place = Files.createDirectories(pictures.resolve(name));
            for (int i = 0; i < 3; i++) {
                ImageIO.write(
                        new BufferedImage(8, 8, BufferedImage.TYPE_INT_RGB),
                        "png",
                        place.resolve(i + ".png").toFile());
            }
        }
        posterior(
                "folders",
                "data.kind=images",
                "data.folder=" + pictures,
                "data.size=4",
                "data.channels=3",
                "data.hold_out=0",
                "model.transformer.in_channels=3");
        Path latents = Files.createDirectories(folder.resolve("latents"));
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            Safetensors.write(
                    latents.resolve("0.safetensors"),
                    Map.of(),
                    Map.of("latents", random.normal(5, 4, 4, 4), "labels", Torch.of(new long[] {0, 1, 0, 1, 1})));
        }
        posterior(
                "of latents",
                "data.kind=latents",
                "data.folder=" + latents,
                "data.channels=4",
                "data.classes=2",
                "data.hold_out=0",
                "model.transformer.in_channels=4");
    }

    private void posterior(String name, String... settings) throws IOException {
        Path run = folder.resolve(name);
        String[] all = new String[settings.length + 10];
        String[] fixed = {
            "train",
            "quickstart",
            "--device",
            "cpu",
            "--out",
            run.toString(),
            "model.transformer.input_size=4",
            "model.transformer.patch_size=2",
            "model.transformer.label_dim=2",
            "steps=1"
        };
        System.arraycopy(fixed, 0, all, 0, fixed.length);
        System.arraycopy(settings, 0, all, fixed.length, settings.length);
        String[] last = {
            "batch=2",
            "model.transformer.hidden_size=8",
            "model.transformer.depth=2",
            "model.transformer.num_heads=2",
            "model.transformer.encoder_depth=1"
        };
        String[] command = new String[all.length + last.length];
        System.arraycopy(all, 0, command, 0, all.length);
        System.arraycopy(last, 0, command, all.length, last.length);
        mfm(command).succeeded();
        String file = run.resolve("checkpoint.safetensors").toString();
        Command drawn = mfm("posterior", file, "--device", "cpu", "--draws", "2", "--out", out(name + ".png"))
                .succeeded();
        assertTrue(drawn.out().contains("of the training data"), drawn.out());
        assertTrue(ImageIO.read(folder.resolve(name + ".png").toFile()).getWidth() > 40);
        mfm("evaluate", "drift", file, "--device", "cpu", "--items", "4", "--draws", "2")
                .succeeded();
        // Without the configuration the map's samples are noised.
        Files.delete(run.resolve("config.yaml"));
        drawn = mfm("posterior", file, "--device", "cpu", "--draws", "2", "--out", out(name + ".png"))
                .succeeded();
        assertTrue(drawn.out().contains("samples of the map itself"), drawn.out());
        mfm("posterior", file, "--device", "cpu", "--image", "1", "--out", out("x.png"))
                .failed("--image 1", "config.yaml");
    }

    /** Settings that the model leaves open are taken from the data. */
    @Test
    void shapesFollowFromTheData() throws IOException {
        Configs.Resolved mixture = Configs.resolve(
                "my.yaml",
                "data: {kind: mixture, means: [[1, 2, 3], [0, 0, 0]]}\n"
                        + "model: {transformer: null, mlp: {dimension: null, width: 4, depth: 1, label_dim: null}}",
                List.of());
        assertTrue(mixture.yaml().contains("dimension: 3") && mixture.yaml().contains("label_dim: 2"), mixture.yaml());
        Path latents = Files.createDirectories(folder.resolve("shapes"));
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(
                    latents.resolve("0.safetensors"),
                    Map.of(),
                    Map.of(
                            "latents",
                            Torch.zeros(DType.FLOAT32, Device.CPU, 2, 4, 8, 8),
                            "labels",
                            Torch.of(new long[] {0, 1})));
        }
        String yaml = Configs.resolve(
                        "my.yaml",
                        "data: {kind: latents, channels: 4, classes: 7, folder: '" + latents + "'}",
                        List.of())
                .yaml();
        assertTrue(
                yaml.contains("input_size: 8") && yaml.contains("in_channels: 4") && yaml.contains("label_dim: 7"),
                yaml);
        yaml = Configs.resolve("my.yaml", "", List.of()).yaml();
        assertTrue(
                yaml.contains("input_size: 28") && yaml.contains("in_channels: 1") && yaml.contains("label_dim: 10"),
                yaml);
    }

    @Test
    void aPictureIsTheSameForTheSameSeed() throws IOException {
        mfm("posterior", checkpoint, "--device", "cpu", "--out", out("1.png")).succeeded();
        mfm("posterior", checkpoint, "--device", "cpu", "--out", out("2.png")).succeeded();
        assertArrayEquals(Files.readAllBytes(folder.resolve("1.png")), Files.readAllBytes(folder.resolve("2.png")));
    }
}
