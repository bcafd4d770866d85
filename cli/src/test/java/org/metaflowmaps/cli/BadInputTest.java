package org.metaflowmaps.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.metaflowmaps.cli.Command.files;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.NativeMemory;
import picocli.CommandLine;

/** Every wrong input gives an exit code and one line that names the problem, and leaves no files. */
final class BadInputTest {
    @TempDir
    private static Path folder;

    private static String checkpoint = "";
    private long live;
    private List<String> before = List.of();

    @BeforeAll
    static void train() {
        Path run = folder.resolve("trained");
        tiny("train", "quickstart", "--device", "cpu", "--out", run.toString()).succeeded();
        checkpoint = run.resolve("checkpoint.safetensors").toString();
    }

    @BeforeEach
    void look() throws IOException {
        live = NativeMemory.liveTensors();
        before = files(folder);
    }

    @AfterEach
    void nothingIsLeftBehind() throws IOException {
        assertEquals(live, NativeMemory.liveTensors());
        assertEquals(before, files(folder));
    }

    private String out(String name) {
        return folder.resolve(name).toString();
    }

    @ParameterizedTest
    @ValueSource(strings = {"sample", "posterior"})
    void aCheckpointThatIsNone(String command) throws IOException {
        Path missing = folder.resolve("missing.safetensors");
        mfm(command, missing.toString(), "--out", out("x.png")).failed(missing + " does not exist");
        mfm(command, folder.toString(), "--out", out("x.png")).failed(folder + " is a folder");
        byte[] whole = Files.readAllBytes(Path.of(checkpoint));
        Path cut = folder.resolve("cut.safetensors");
        for (byte[] content :
                new byte[][] {{}, Arrays.copyOf(whole, 100), Arrays.copyOf(whole, whole.length - 1), new byte[1000]}) {
            Files.write(cut, content);
            mfm(command, cut.toString(), "--out", out("x.png")).failed(cut.toString());
        }
        Files.delete(cut);
    }

    @Test
    void aMapOfVectorsHasNoPictures() throws IOException {
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
        mfm("sample", vectors, "--device", "cpu", "--out", out("x.png")).failed("holds a map of vectors");
        mfm("posterior", vectors, "--device", "cpu", "--out", out("x.png")).failed("holds a map of vectors");
        before = files(folder);
    }

    @Test
    void wishesOutOfRange() {
        mfm("sample", checkpoint, "--class", "11", "--out", out("x.png"))
                .failed("--class 11 is out of range", "0 to 9", "10 for no label");
        mfm("sample", checkpoint, "--class", "-1", "--out", out("x.png")).failed("--class -1 is out of range");
        mfm("sample", checkpoint, "--count", "0", "--out", out("x.png")).failed("at least 1");
        mfm("sample", checkpoint, "--steps", "0", "--out", out("x.png")).failed("at least 1");
        mfm("sample", checkpoint, "--out", out("x.jpg")).failed("x.jpg", ".png");
        mfm("posterior", checkpoint, "--image", "10000", "--out", out("x.png"))
                .failed("--image 10000 is out of range", "0 to 9999");
        mfm("posterior", checkpoint, "--image", "-1", "--out", out("x.png")).failed("--image -1 is out of range");
        mfm("posterior", checkpoint, "--time", "1", "--out", out("x.png"))
                .failed("--time 1.0 is out of range", "above 0 and below 1");
        mfm("posterior", checkpoint, "--draws", "0", "--out", out("x.png")).failed("0 draws");
        mfm("posterior", checkpoint, "--steps", "0", "--out", out("x.png")).failed("0 steps");
        mfm("posterior", checkpoint, "--out", out("x.gif")).failed("x.gif", ".png");
    }

    @Test
    void anEmptyPathIsRefused() {
        for (String[] command : new String[][] {
            {"sample", checkpoint, "--out", ""},
            {"posterior", checkpoint, "--out", ""},
            {"train", "quickstart", "--out", ""},
            {"quickstart", "--out", ""},
            {"classifier", "--out", ""},
            {"evaluate", "mixture", checkpoint, "--out", ""},
            {"evaluate", "fashion-mnist", checkpoint, "--out", ""}
        }) {
            mfm(command).refused("--out", "the path is empty");
        }
        mfm("convert", checkpoint, "").refused("the path is empty");
    }

    @Test
    void wrongCommandLines() {
        mfm("sample", checkpoint, "--device", "gpu").refused("--device", "'gpu' is not a device: use cpu, cuda or");
        mfm("sample", checkpoint, "--device", "cuda:99").refused("--device", "cuda:99");
        mfm("sample", checkpoint, "--class", "cap")
                .failed("--class 'cap' is not known", "did you mean 'Coat'?", "T-shirt/top");
        mfm("sample", checkpoint, "--sampler", "euler").refused("--sampler", "refinement", "flow_map", "euler");
        mfm("sample").refused("CHECKPOINT");
        mfm("sample", checkpoint, "--no-such-option").refused("--no-such-option");
        mfm("paint").refused("paint");
        mfm("trian").refused("trian", "did you mean 'train'?");
        mfm("evaluate", "mixtrue").refused("did you mean 'mixture'?");
        mfm("nosuch", "--help").refused("nosuch");
        mfm("evaluate", "nosuch", "--help").refused("nosuch");
        mfm("sample", checkpoint, "--cuont", "3").refused("did you mean '--count'?");
        mfm("sample", checkpoint, "--sampler", "refinment").refused("did you mean 'refinement'?");
        mfm("sample", checkpoint, "--cuont=3").refused("did you mean '--count'?");
        mfm("help", "trian").refused("did you mean 'train'?");
        mfm("sample", checkpoint, "--device", "cdua").refused("use cpu, cuda or cuda:N: did you mean 'cuda'?");
        mfm("sample", checkpoint, "--device", "gpu").refused("did you mean 'cuda'?");
        mfm("sample", checkpoint, "--device", "GPU:1").refused("did you mean 'cuda'?");
        assertFalse(mfm("sample", checkpoint, "--device", "cuda:99").err().contains("did you mean"));
        mfm("inspect", checkpoint, "--prefix", "diit").failed("did you mean 'dit.'?");
        mfm("inspect", checkpoint, "--classes", "3").failed("is not a folder of data");
    }

    /** Every option whose values are a closed set. */
    @Test
    void everyOptionSuggestsTheNearestValue() {
        List<String> checked = new ArrayList<>();
        suggestValues(Subcommands.of(new Mfm(), List.of()), List.of(), checked);
        assertTrue(
                checked.containsAll(
                        List.of("sample --sampler", "sample --precision", "convert --dtype", "selfcheck --dtype")),
                checked::toString);
    }

    private static void suggestValues(CommandLine command, List<String> words, List<String> checked) {
        for (CommandLine.Model.OptionSpec option : command.getCommandSpec().options()) {
            if (option.completionCandidates() != null && option.type().isEnum()) {
                for (String value : option.completionCandidates()) {
                    List<String> line = new ArrayList<>(words);
                    line.addAll(List.of(option.longestName(), value + "q"));
                    mfm(line.toArray(String[]::new)).refused("did you mean '" + value + "'?");
                    checked.add(String.join(" ", words) + " " + option.longestName());
                }
            }
        }
        command.getSubcommands()
                .forEach((name, inner) -> suggestValues(
                        inner, Stream.concat(words.stream(), Stream.of(name)).toList(), checked));
    }

    @Test
    void resultsThatCannotBeWritten() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "mine");
        String below = file.resolve("x.png").toString();
        mfm("sample", checkpoint, "--device", "cpu", "--out", below)
                .failed("cannot write " + below, file + " is a file, not a folder");
        mfm(
                        "sample",
                        checkpoint,
                        "--device",
                        "cpu",
                        "--out",
                        file.resolve("x.safetensors").toString())
                .failed("cannot write", "not a folder");
        mfm("posterior", checkpoint, "--device", "cpu", "--out", below).failed("cannot write " + below);
        tiny("train", "quickstart", "--device", "cpu", "--out", file.toString()).failed(file.toString());
        tiny("quickstart", "--device", "cpu", "--out", file.toString()).failed(file.toString());
        Path taken = Files.createDirectories(folder.resolve("taken.png").resolve("inner"))
                .getParent();
        mfm("sample", checkpoint, "--device", "cpu", "--out", String.valueOf(taken))
                .failed("cannot write " + taken);
        assertEquals("mine", Files.readString(file));
        Files.delete(file);
    }

    @Test
    void aFolderThatMayNotBeWritten() throws IOException {
        Path closed = Files.createDirectories(folder.resolve("closed"));
        assumeTrue(
                closed.toFile().setWritable(false) && !Files.isWritable(closed),
                "this user may write everywhere, or this system cannot forbid it");
        mfm(
                        "sample",
                        checkpoint,
                        "--device",
                        "cpu",
                        "--out",
                        closed.resolve("x.png").toString())
                .failed("no permission");
        tiny("train", "quickstart", "--device", "cpu", "--out", closed.toString())
                .failed("no permission");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "missing folder",
                "empty folder",
                "truncated images",
                "truncated labels",
                "no images",
                "labels out of range"
            })
    void dataThatIsDamaged(String damage) throws IOException {
        Path data = folder.resolve("data");
        Path images = data.resolve("train-images-idx3-ubyte");
        Path labels = data.resolve("train-labels-idx1-ubyte");
        byte[] pixels = ByteBuffer.allocate(16 + 600 * 784)
                .putInt(0x803)
                .putInt(600)
                .putInt(28)
                .putInt(28)
                .array();
        byte[] classes = ByteBuffer.allocate(8 + 600).putInt(0x801).putInt(600).array();
        String blamed = data.toString();
        if (!damage.equals("missing folder")) {
            Files.createDirectories(data);
        }
        if (!damage.endsWith("folder")) {
            classes[300] = (byte) (damage.equals("labels out of range") ? 10 : 9);
            Files.write(
                    images,
                    damage.equals("truncated images")
                            ? Arrays.copyOf(pixels, pixels.length - 1)
                            : damage.equals("no images")
                                    ? "this is a text, not images".getBytes(StandardCharsets.US_ASCII)
                                    : pixels);
            Files.write(labels, damage.equals("truncated labels") ? Arrays.copyOf(classes, 20) : classes);
            blamed = (damage.equals("truncated labels") ? labels : images).toString();
        }
        for (String command : List.of("train", "posterior")) {
            Command run = command.equals("train")
                    ? tiny("train", "quickstart", "--device", "cpu", "--out", out("run"), "--data", data.toString())
                    : mfm("posterior", checkpoint, "--data", data.toString(), "--out", out("x.png"));
            run.failed(blamed);
        }
        Files.deleteIfExists(images);
        Files.deleteIfExists(labels);
        Files.deleteIfExists(data);
    }

    @Test
    void configurationsThatAreWrong() throws IOException {
        String run = out("run");
        mfm("train", "no-such-config", "--out", run)
                .failed("no-such-config does not exist", "quickstart, mixture/flow, ");
        mfm("train", "quickstart", "--out", run, "stepz=3").failed("unknown setting 'stepz'", "did you mean 'steps'");
        mfm("train", "quickstart", "--out", run, "steps=0").failed("steps is 0");
        mfm("train", "quickstart", "--out", run, "optimizer.kind=sgd").failed("radam, adamw");
        mfm("train", "quickstart", "--out", run, "optimizer.kind=adam").failed("did you mean 'adamw'?");
        mfm("train", "mixtrue/flow", "--out", run).failed("did you mean 'mixture/flow'?");
        mfm("train", "quickstart", "--out", run, "optimizer=null").failed("optimizer is null");
        mfm("train", "quickstart", "--out", run, "data.hold_out=10000")
                .failed("data.hold_out is 10000", "10000 images");
        mfm("train", "mixture/distill", "--out", run, "--device", "cpu", "init=null", "teacher.kind=given")
                .failed("teacher.kind is given", "in Java");
        mfm("train", "mixture/meta-flow-map", "--out", run, "data.means=[]").failed("at least one component");
        mfm("train", "mixture/meta-flow-map", "--out", run, "data.means=[[1, 2, 3]]")
                .failed("the network takes items of shape [2]", "[3]");
        mfm("train", "quickstart", "--out", run, "--resume", "steps=3").failed("checkpoint.safetensors does not exist");
        Path broken = Files.writeString(folder.resolve("broken.yaml"), "optimizer: {clip: [1\nsteps: 2\n");
        mfm("train", broken.toString(), "--out", run).failed(broken.toString(), "line 2");
        Files.delete(broken);
    }

    /** Resuming another network, and a diverging loss: existing files are not changed. */
    @Test
    void aRunThatFailsKeepsItsCheckpoint() throws IOException {
        Path run = folder.resolve("trained");
        byte[] good = Files.readAllBytes(Path.of(checkpoint));
        byte[] config = Files.readAllBytes(run.resolve("config.yaml"));
        tiny("train", "mixture/meta-flow-map", "--device", "cpu", "--out", run.toString(), "--resume")
                .failed("transformer");
        mfm(
                        "train",
                        run.resolve("config.yaml").toString(),
                        "--device",
                        "cpu",
                        "--out",
                        run.toString(),
                        "--resume",
                        "model.transformer.num_heads=1")
                .failed("step-000000004.safetensors", "another network");
        assertArrayEquals(config, Files.readAllBytes(run.resolve("config.yaml")));
        mfm(
                        "train",
                        run.resolve("config.yaml").toString(),
                        "--device",
                        "cpu",
                        "--out",
                        run.toString(),
                        "--resume",
                        "steps=9",
                        "optimizer.learning_rate=1e30",
                        "optimizer.clip=0",
                        "checkpoint_every=9")
                .failed("last 4 steps", "not finite", checkpoint);
        assertArrayEquals(good, Files.readAllBytes(Path.of(checkpoint)));
        // The failed session has separate TensorBoard events.
        List<String> after = files(folder);
        assertEquals(
                before,
                after.stream()
                        .filter(name -> before.contains(name) || !name.contains("events.out.tfevents."))
                        .toList());
        before = after;
    }

    @Test
    void verboseShowsWhere() {
        for (String[] arguments : new String[][] {
            {"--verbose", "sample", out("missing")},
            {"sample", out("missing"), "--verbose"},
            {"--verbose", "train", "quickstart", "stepz=1"},
            {"--verbose", "sample", checkpoint, "--device", "gpu"}
        }) {
            Command run = mfm(arguments);
            assertTrue(run.code() != 0);
            assertTrue(run.err().startsWith("error: ") && run.err().contains("\tat org.metaflowmaps."), run.err());
            assertEquals("", run.out());
        }
    }
}
