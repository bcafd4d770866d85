package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.files;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.metrics.MetricsLog;

/** The commands as a user runs them: output, files and exit codes. */
final class CommandsTest {
    @TempDir
    private static Path folder;

    private static Path trained = Path.of("");
    private static String checkpoint = "";

    @BeforeAll
    static void train() {
        trained = folder.resolve("trained");
        checkpoint = trained.resolve("checkpoint.safetensors").toString();
        Command run = tiny("train", "quickstart", "--device", "cpu", "--out", trained.toString())
                .succeeded();
        assertTrue(run.out().startsWith("data: 10000 images") && run.out().contains("parameters on cpu"), run.out());
        assertTrue(run.out().contains("done: " + checkpoint), run.out());
    }

    @Test
    void trainingLeavesAllOfARun() throws IOException {
        List<String> names = files(trained);
        assertEquals(7, names.size(), names.toString());
        assertTrue(
                names.containsAll(List.of(
                        ".run.lock",
                        "checkpoint.safetensors",
                        "checkpoints/step-000000002.safetensors",
                        "checkpoints/step-000000004.safetensors",
                        "config.yaml",
                        "metrics.jsonl")),
                names.toString());
        assertTrue(names.stream().anyMatch(name -> name.startsWith("events.out.tfevents.")), names.toString());
        assertEquals(
                List.of(1L, 2L, 3L, 4L),
                MetricsLog.read(trained.resolve("metrics.jsonl")).stream()
                        .map(MetricsLog.Entry::step)
                        .toList());
        Configs.Resolved written = Configs.load(trained.resolve("config.yaml").toString(), List.of());
        assertEquals(
                8,
                Objects.requireNonNull(written.config().model().transformer()).hiddenSize());
        try (MetaFlowMap map = Networks.load(Path.of(checkpoint), Device.CPU)) {
            assertEquals(Shape.of(1, 28, 28), map.itemShape());
        }
    }

    /** The written configuration is enough to resume, with the result of a run that never stopped. */
    @Test
    void aRunGoesOnWhereItStopped() throws IOException {
        Path run = folder.resolve("resumed");
        String[] settings = Stream.concat(
                        Stream.of("train", "quickstart", "--device", "cpu", "--out", run.toString()),
                        Stream.concat(Command.TINY.stream(), Stream.of("steps=2")))
                .toArray(String[]::new);
        mfm(settings).succeeded();
        byte[] before = Files.readAllBytes(run.resolve("checkpoint.safetensors"));
        tiny("train", "quickstart", "--device", "cpu", "--out", run.toString()).failed("exists", "--resume", "--out");
        assertArrayEquals(before, Files.readAllBytes(run.resolve("checkpoint.safetensors")));
        Command resumed = mfm(
                "train",
                run.resolve("config.yaml").toString(),
                "--device",
                "cpu",
                "--out",
                run.toString(),
                "--resume",
                "steps=4");
        assertTrue(resumed.succeeded().out().contains("from step 2"), resumed.out());
        assertArrayEquals(
                Files.readAllBytes(Path.of(checkpoint)), Files.readAllBytes(run.resolve("checkpoint.safetensors")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"refinement", "flow_map", "ode"})
    void samplesArePicturesOrNumbers(String sampler) throws IOException {
        long live = NativeMemory.liveTensors();
        Path picture = folder.resolve(sampler + ".png");
        assertEquals(
                picture + System.lineSeparator(),
                mfm(
                                "sample",
                                checkpoint,
                                "--device",
                                "cpu",
                                "--class",
                                "3,10",
                                "--count",
                                "2",
                                "--steps",
                                "2",
                                "--sampler",
                                sampler,
                                "--out",
                                picture.toString())
                        .succeeded()
                        .out());
        BufferedImage image = ImageIO.read(picture.toFile());
        assertTrue(image.getWidth() >= 2 * 2 * 28 && image.getHeight() >= 2 * 2 * 28);
        Path numbers = folder.resolve(sampler + ".safetensors");
        for (int i = 0; i < 2; i++) {
            Path out = folder.resolve(sampler + i + ".safetensors");
            mfm(
                            "sample",
                            checkpoint,
                            "--device",
                            "cpu",
                            "--count",
                            "2",
                            "--steps",
                            "1",
                            "--seed",
                            "9",
                            "--sampler",
                            sampler,
                            "--out",
                            out.toString())
                    .succeeded();
            if (i == 0) {
                Files.copy(out, numbers);
            }
            assertArrayEquals(Files.readAllBytes(numbers), Files.readAllBytes(out), "the same seed, the same samples");
        }
        try (SafetensorsFile file = SafetensorsFile.open(numbers)) {
            SafetensorsFile.Entry images = file.entries().get("images");
            assertNotNull(images);
            assertEquals(Shape.of(20, 1, 28, 28), images.shape());
            assertTrue(file.entries().containsKey("labels"));
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static byte[] samples(String from, String... options) throws IOException {
        Path out = folder.resolve("out.safetensors");
        mfm(Stream.concat(
                                Stream.of(
                                        "sample",
                                        from,
                                        "--device",
                                        "cpu",
                                        "--count",
                                        "1",
                                        "--steps",
                                        "2",
                                        "--out",
                                        out.toString()),
                                Stream.of(options))
                        .toArray(String[]::new))
                .succeeded();
        return Files.readAllBytes(out);
    }

    @Test
    void aFlowIsSampledByItsOde() throws IOException {
        Path run = folder.resolve("flow");
        tiny(
                        "train",
                        "quickstart",
                        "--device",
                        "cpu",
                        "--out",
                        run.toString(),
                        "model.transformer.layout=flow-map",
                        "loss.consistency=none")
                .succeeded();
        String flow = run.resolve("checkpoint.safetensors").toString();
        assertArrayEquals(samples(flow, "--sampler", "ode"), samples(flow));
        assertFalse(Arrays.equals(samples(flow, "--sampler", "flow_map"), samples(flow)));
        mfm("sample", flow, "--device", "cpu", "--sampler", "refinement")
                .failed("refinement sampler", "without contexts", "layout meta-flow-map");
        mfm("posterior", flow, "--device", "cpu").failed("posterior sampler", "without contexts");
        tiny(
                        "quickstart",
                        "--device",
                        "cpu",
                        "--out",
                        folder.resolve("none").toString(),
                        "model.transformer.layout=flow-map")
                .failed("layout=meta-flow-map");
    }

    /** Labels were trained with one scale, which is used by default. */
    @Test
    void labelsHaveTheScaleTheyWereTrainedWith() throws IOException {
        Path run = folder.resolve("guided");
        tiny(
                        "train",
                        "quickstart",
                        "--device",
                        "cpu",
                        "--out",
                        run.toString(),
                        "model.transformer.model_guidance_class_ws=[2.5]",
                        "guidance=2.5",
                        "loss.velocity=guided",
                        "optimizer.learning_rate=0.1")
                .succeeded();
        String guided = run.resolve("checkpoint.safetensors").toString();
        for (String sampler : List.of("refinement", "flow_map", "ode")) {
            assertArrayEquals(
                    samples(guided, "--sampler", sampler, "--guidance", "2.5"), samples(guided, "--sampler", sampler));
            assertFalse(
                    Arrays.equals(
                            samples(guided, "--sampler", sampler, "--guidance", "1"),
                            samples(guided, "--sampler", sampler)),
                    sampler);
            assertArrayEquals(
                    samples(guided, "--sampler", sampler, "--guidance", "1", "--class", "10"),
                    samples(guided, "--sampler", sampler, "--class", "10"),
                    "no label, no guidance");
        }
        byte[][] pictures = new byte[2][];
        for (int i = 0; i < 2; i++) {
            Path out = folder.resolve("guided" + i + ".png");
            mfm(
                            "posterior",
                            guided,
                            "--device",
                            "cpu",
                            "--image",
                            "3",
                            "--draws",
                            "2",
                            "--guidance",
                            i == 0 ? "1" : "2.5",
                            "--out",
                            out.toString())
                    .succeeded();
            pictures[i] = Files.readAllBytes(out);
        }
        assertFalse(Arrays.equals(pictures[0], pictures[1]));
        mfm("sample", guided, "--device", "cpu", "--guidance", "2").failed("--guidance 2.0", "[1.0, 2.5]");
        mfm("posterior", guided, "--device", "cpu", "--guidance", "2").failed("--guidance 2.0", "[1.0, 2.5]");
    }

    @Test
    void samplesInBfloat16AreNearlyThoseInFloat32() throws IOException {
        float[][] images = new float[2][];
        for (int i = 0; i < 2; i++) {
            Path out = folder.resolve("precision" + i + ".safetensors");
            mfm(
                            "sample",
                            checkpoint,
                            "--device",
                            "cpu",
                            "--count",
                            "1",
                            "--steps",
                            "2",
                            "--precision",
                            i == 0 ? "float32" : "bfloat16",
                            "--out",
                            out.toString())
                    .succeeded();
            try (SafetensorsFile file = SafetensorsFile.open(out)) {
                images[i] = file.bytes("images").toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
            }
        }
        assertArrayEquals(images[0], images[1], 0.05f);
        assertNotEquals(Arrays.hashCode(images[0]), Arrays.hashCode(images[1]), "nothing was rounded");
        mfm("sample", checkpoint, "--precision", "bf16").refused("--precision", "float32, bfloat16");
        mfm(
                        "posterior",
                        checkpoint,
                        "--device",
                        "cpu",
                        "--image",
                        "0",
                        "--precision",
                        "bfloat16",
                        "--out",
                        folder.resolve("mixed.png").toString())
                .succeeded();
    }

    @Test
    void posteriorDrawsAreAPicture() throws IOException {
        Path picture = folder.resolve("posterior.png");
        assertEquals(
                picture + System.lineSeparator(),
                mfm(
                                "posterior",
                                checkpoint,
                                "--device",
                                "cpu",
                                "--image",
                                "0,9999",
                                "--time",
                                "0.2,0.9",
                                "--draws",
                                "3",
                                "--out",
                                picture.toString())
                        .succeeded()
                        .out());
        BufferedImage image = ImageIO.read(picture.toFile());
        // Two images at two times; clean, noisy and three draws.
        assertTrue(image.getWidth() >= 5 * 2 * 28 && image.getHeight() >= 4 * 2 * 28);
    }

    @Test
    void aPeriodOfTheQuickstartLeavesAReport() throws IOException {
        long live = NativeMemory.liveTensors();
        Path run = folder.resolve("quickstart");
        Command quickstart = tiny(
                        "quickstart",
                        "--device",
                        "cpu",
                        "--steer-count",
                        "2",
                        "--finetune-steps",
                        "2",
                        "--out",
                        run.toString())
                .succeeded();
        assertTrue(quickstart.out().contains("report: " + run.resolve("report.html")), quickstart.out());
        List<String> names = files(run);
        assertTrue(
                names.containsAll(List.of(
                        "checkpoint.safetensors",
                        "config.yaml",
                        "metrics.jsonl",
                        "posterior.png",
                        "samples.png",
                        "steered.png",
                        "finetuned.png",
                        "finetuned/checkpoint.safetensors",
                        "report.html")),
                names.toString());
        assertTrue(names.stream().anyMatch(name -> name.startsWith("events.out.tfevents.")), names.toString());
        for (String picture : List.of("posterior.png", "samples.png", "steered.png", "finetuned.png")) {
            assertNotNull(ImageIO.read(run.resolve(picture).toFile()));
        }
        assertEquals(4, MetricsLog.read(run.resolve("metrics.jsonl")).size());
        String page = Files.readString(run.resolve("report.html"));
        assertFalse(
                page.contains("http://")
                        || page.contains("https://")
                        || page.contains("<script")
                        || page.contains("<link"),
                "self-contained");
        Matcher source = Pattern.compile("(?:src|href)=\"([^\"]*)\"").matcher(page);
        int images = 0;
        while (source.find()) {
            assertTrue(
                    source.group(1).startsWith("data:image/png;base64,"),
                    source.group(1).substring(0, Math.min(40, source.group(1).length())));
            images++;
        }
        assertTrue(images >= 4, images + " pictures");
        for (String part :
                List.of("Steering", "Fine-tuning", "mfm-g, N = 4", "best of 16", "mfm steer", "mfm finetune")) {
            assertTrue(page.contains(part), part);
        }
        try (MetaFlowMap map = Networks.load(run.resolve("checkpoint.safetensors"), Device.CPU)) {
            assertEquals(10, map.classes());
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** The commands in the report give the numbers in its table. */
    @Test
    void theQuickstartsCommandsRepeatIt() {
        Path run = folder.resolve("repeated");
        String out = tiny(
                        "quickstart",
                        "--device",
                        "cpu",
                        "--steer-count",
                        "1",
                        "--finetune-steps",
                        "2",
                        "--out",
                        run.toString())
                .succeeded()
                .out();
        Path picture = folder.resolve("repeated.png");
        for (String file : List.of("checkpoint.safetensors", "finetuned/checkpoint.safetensors")) {
            String best = mfm(
                            "best-of",
                            run.resolve(file).toString(),
                            "--reward",
                            "brightness",
                            "--count",
                            "1",
                            "--seed",
                            "42",
                            "--steps",
                            "25",
                            "--pool",
                            "1",
                            "--device",
                            "cpu",
                            "--out",
                            picture.toString())
                    .succeeded()
                    .out();
            assertEquals(reward(out, file.startsWith("finetuned") ? "after" : "before"), reward(best, "best of 1"));
        }
        Path skipped = folder.resolve("skipped");
        String none = tiny("quickstart", "--device", "cpu", "--steer-count", "0", "--out", skipped.toString())
                .succeeded()
                .out();
        assertFalse(none.contains("Steering"), none);
        tiny("quickstart", "--steer-count", "-1").failed("--steer-count -1");
        tiny("quickstart", "--finetune-steps", "-1").failed("--finetune-steps -1");
    }

    /** Returns the mean reward and its error in a method's line. */
    private static String reward(String table, String method) {
        Matcher line = Pattern.compile("(?m)^" + method + " +(\\S+ +\\S+)").matcher(table);
        assertTrue(line.find(), table);
        return line.group(1);
    }

    @Test
    void theDoctorTellsWhatIsThere() {
        String out = mfm("doctor").succeeded().out();
        assertTrue(Pattern.compile("(?m)^libtorch +2\\.13\\.").matcher(out).find(), out);
        assertTrue(
                Pattern.compile("(?m)^java +.*" + Pattern.quote(System.getProperty("java.version")))
                        .matcher(out)
                        .find(),
                out);
        assertTrue(Pattern.compile("(?m)^devices +cpu").matcher(out).find(), out);
    }

    @Test
    void helpIsPrintedForEveryCommand() {
        for (String command :
                List.of("quickstart", "train", "plan", "sample", "posterior", "evaluate", "selfcheck", "doctor")) {
            String out = mfm(command, "--help").succeeded().out();
            assertTrue(out.startsWith("Usage: mfm " + command), out);
            assertTrue(mfm("--help").succeeded().out().contains("  " + command), command);
        }
        assertTrue(mfm("--version").succeeded().out().startsWith("mfm "));
        Command none = mfm();
        assertEquals(2, none.code());
        assertTrue(none.err().startsWith("Usage: mfm"), none.err());
    }
}
