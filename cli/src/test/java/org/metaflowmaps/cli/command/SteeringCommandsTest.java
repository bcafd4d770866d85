package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.training.metrics.MetricsLog;

/** The commands that draw towards a reward, as a user runs them. */
final class SteeringCommandsTest {
    @TempDir
    private static Path folder;

    private static String checkpoint = "";
    private static String vectors = "";
    private long live;

    @BeforeAll
    static void train() {
        Path images = folder.resolve("images");
        tiny("train", "quickstart", "--device", "cpu", "--out", images.toString())
                .succeeded();
        checkpoint = images.resolve("checkpoint.safetensors").toString();
        Path mixture = folder.resolve("vectors");
        mfm(
                        "train",
                        "mixture/meta-flow-map",
                        "--device",
                        "cpu",
                        "--out",
                        mixture.toString(),
                        "steps=1",
                        "batch=2",
                        "model.mlp.width=4",
                        "model.mlp.depth=1")
                .succeeded();
        vectors = mixture.resolve("checkpoint.safetensors").toString();
    }

    @BeforeEach
    void count() {
        live = NativeMemory.liveTensors();
    }

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static Command run(String line) {
        List<String> words = new ArrayList<>(Arrays.asList(line.split(" ")));
        words.addAll(List.of("--device", "cpu"));
        return mfm(words.toArray(String[]::new));
    }

    private static double[] numbers(Path file, String name) throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(file);
                TensorScope scope = TensorScope.open()) {
            return Safetensors.view(open, name).toDoubleArray();
        }
    }

    /** Returns a column of the table of rewards. */
    private static double column(String out, String row, int column) {
        Matcher line = Pattern.compile("(?m)^" + row + "((?: +[-\\w.]+){5})$").matcher(out);
        assertTrue(line.find(), out);
        return Double.parseDouble(Pattern.compile(" +").split(line.group(1).strip(), -1)[column]);
    }

    /** With --graphs a command draws the same, also in a last batch that is smaller; on the CPU steps run as they are. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "steer --method mfm-g --draws 3 --chunk 2 --steps 3 --dynamics sde",
                "steer --method mfm-gf --draws 2 --steps 3 --solver heun",
                "steer --method mfm-gf-denoiser --draws 2 --steps 3 --noise antithetic",
                "steer --method dps --steps 3",
                "steer --method look-ahead --steps 3",
                "filter --particles 3 --draws 2 --steps 3",
                "filter --particles 3 --twisted --steps 3",
                "search --particles 2 --draws 2 --steps 3",
                "best-of --pool 5 --steps 3"
            })
    void graphsChangeNothing(String line) throws IOException {
        List<String> words = new ArrayList<>(Arrays.asList(line.split(" ")));
        words.add(1, checkpoint);
        String common =
                String.join(" ", words) + " --reward brightness --lambda 20 --class 3 --count 5 --batch 2 --out ";
        Path plain = folder.resolve("plain.safetensors");
        Path graphs = folder.resolve("graphs.safetensors");
        String expected = run(common + plain).succeeded().out();
        String printed = run(common + graphs + " --graphs").succeeded().out();
        for (String name : List.of("images", "rewards")) {
            assertArrayEquals(numbers(plain, name), numbers(graphs, name), name);
        }
        // Neither the time nor the file's name.
        Pattern changing = Pattern.compile("\\d+\\.\\d+$|\\S+safetensors", Pattern.MULTILINE);
        assertEquals(
                changing.matcher(expected).replaceAll(""),
                changing.matcher(printed).replaceAll(""));
    }

    @Test
    void aTreeIsNotCaptured() {
        run("search " + checkpoint + " --reward brightness --tree --budget nfe=40 --graphs --out "
                        + folder.resolve("tree.png"))
                .failed("--graphs is not for --tree");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "sample --class 3,5 --count 5 --sampler refinement",
                "sample --class 3,5 --count 5 --sampler flow_map",
                "sample --class 3,5 --count 5 --sampler ode --solver heun",
                "posterior --draws 3 --steps 2 --time 0.2,0.4,0.6 --image 0,1"
            })
    void samplersAreCapturedToo(String line) throws IOException {
        List<String> words = new ArrayList<>(Arrays.asList(line.split(" ")));
        words.add(1, checkpoint);
        Path plain = folder.resolve("plain.safetensors");
        Path graphs = folder.resolve("graphs.safetensors");
        String common = String.join(" ", words) + " --out ";
        run(common + plain).succeeded();
        run(common + graphs + " --graphs").succeeded();
        String name = line.startsWith("sample") ? "images" : "draws";
        assertArrayEquals(numbers(plain, name), numbers(graphs, name));
    }

    @ParameterizedTest
    @ValueSource(strings = {"mfm-g", "mfm-gf", "mfm-gf-denoiser", "dps", "look-ahead"})
    void steeringWritesSamplesAndTheirRewards(String method) throws IOException {
        Path out = folder.resolve(method + ".safetensors");
        String printed = run("steer " + checkpoint + " --reward brightness --lambda 20 --method " + method
                        + " --draws 2 --steps 3 --class 3,5 --count 2 --compare --out " + out)
                .succeeded()
                .out();
        try (SafetensorsFile file = SafetensorsFile.open(out)) {
            assertEquals(
                    Shape.of(4, 1, 28, 28),
                    Objects.requireNonNull(file.entries().get("images")).shape());
            assertEquals(
                    Shape.of(4, 1, 28, 28),
                    Objects.requireNonNull(file.entries().get("base_images")).shape());
        }
        assertArrayEquals(new double[] {3, 3, 5, 5}, numbers(out, "labels"));
        double[] rewards = numbers(out, "rewards");
        double mean = Arrays.stream(rewards).average().orElseThrow();
        assertEquals(mean, column(printed, method, 0), 1e-4);
        double variance =
                Arrays.stream(rewards).map(r -> (r - mean) * (r - mean)).sum() / 3;
        assertEquals(Math.sqrt(variance / 4), column(printed, method, 1), 1e-4);
        assertEquals(4, column(printed, method, 2));
        // K steps of 1 for the drift, and 4 or 2 for each of N draws (method §8.4).
        int each = switch (method) {
            case "mfm-g" -> 9;
            case "mfm-gf", "mfm-gf-denoiser" -> 5;
            case "dps" -> 4;
            default -> 5;
        };
        assertEquals(3 * each, column(printed, method, 3));
        assertEquals(3, column(printed, "unsteered", 3));
        assertEquals(
                Arrays.stream(numbers(out, "base_rewards")).average().orElseThrow(),
                column(printed, "unsteered", 0),
                1e-4);
        if (!method.startsWith("mfm-gf")) {
            assertTrue(column(printed, method, 0) > column(printed, "unsteered", 0), printed);
        }
    }

    @Test
    void imagesDoNotDependOnBatchAndChunk() throws IOException {
        double[] expected = null;
        for (int[] size : new int[][] {{8, 32}, {3, 8}, {1, 1}}) {
            Path out = folder.resolve("batch" + size[0] + ".safetensors");
            run("steer " + checkpoint + " --reward class:3 --lambda 5 --draws 32 --steps 2 --class 3 --count 8 --batch "
                            + size[0] + " --chunk " + size[1] + " --out " + out)
                    .succeeded();
            double[] images = numbers(out, "images");
            if (expected == null) {
                expected = images;
            }
            assertArrayEquals(expected, images, 1e-4);
        }
    }

    @Test
    void zeroStrengthChangesNothingAndTheSeedDoes() throws IOException {
        Path one = folder.resolve("zero.safetensors");
        run("steer " + checkpoint + " --reward class:3 --lambda 0 --steps 2 --class 1 --count 2 --compare --out " + one)
                .succeeded();
        assertArrayEquals(numbers(one, "base_images"), numbers(one, "images"), 1e-6);
        Path two = folder.resolve("seed.safetensors");
        run("steer " + checkpoint + " --reward class:3 --lambda 0 --steps 2 --class 1 --count 2 --seed 2 --out " + two)
                .succeeded();
        assertNotEquals(numbers(one, "images")[0], numbers(two, "images")[0]);
    }

    @Test
    void aPictureComparesBeforeAndAfter() throws IOException {
        Path picture = folder.resolve("compare.png");
        String out = run("steer " + checkpoint + " --reward inpaint:0,0,14,28,0.5 --image 3 --steps 2 --dynamics sde"
                        + " --renormalise clip --class 3,5 --count 3 --compare --out " + picture)
                .succeeded()
                .out();
        assertTrue(out.endsWith(picture + System.lineSeparator()), out);
        BufferedImage image = ImageIO.read(picture.toFile());
        assertTrue(image.getWidth() >= 3 * 2 * 28 && image.getHeight() >= 4 * 2 * 28);
    }

    @Test
    void vectorsAreSteeredByRewardsOfStates() throws IOException {
        Path out = folder.resolve("vectors.safetensors");
        run("steer " + vectors + " --reward linear:1,0 --lambda 3 --steps 4 --count 5 --solver heun --out " + out)
                .succeeded();
        double[] states = numbers(out, "images");
        double[] rewards = numbers(out, "rewards");
        for (int i = 0; i < rewards.length; i++) {
            assertEquals(states[2 * i], rewards[i], 1e-6);
        }
    }

    @Test
    void searchesKeepTheBest() throws IOException {
        Path out = folder.resolve("search.safetensors");
        String greedy = run("search " + checkpoint + " --reward brightness --particles 3 --draws 2 --steps 4 --class 3"
                        + " --count 2 --transition deterministic --resampling per_particle --out " + out)
                .succeeded()
                .out();
        assertEquals(2 * 3 * 2 * 4, column(greedy, "search", 3));
        assertEquals(2, numbers(out, "rewards").length);
        String tree = run("search " + checkpoint
                        + " --reward brightness --tree --budget nfe=24 --draws 3 --steps 3 --class 3"
                        + " --count 2 --out "
                        + out)
                .succeeded()
                .out();
        assertEquals(24, column(tree, "tree search", 3));
    }

    /** Counts that the command line leaves open follow from the evaluations; given ones are lowered by them. */
    @Test
    void budgetsLimitEvaluationsAndSeconds() {
        String common = " " + checkpoint + " --reward brightness --class 3 --count 2 --draws 2 --out "
                + folder.resolve("budget.safetensors") + " --budget ";
        String[][] cases = {
            {"steer", "mfm-g", "nfe=50", "", "45"},
            {"steer", "mfm-g", "nfe=50", " --steps 2", "18"},
            {"steer", "mfm-g", "nfe=50", " --steps 9", "45"},
            {"steer", "mfm-g", "seconds=1e-9", " --steps 9", "18"},
            {"steer", "mfm-g", "seconds=1e6,nfe=30", " --steps 9", "27"},
            {"filter", "particle filter", "nfe=99", " --steps 3", "96"},
            {"filter", "particle filter", "nfe=50", " --steps 3 --particles 4", "44"},
            {"filter", "particle filter", "seconds=1e-9", " --steps 9 --particles 4", "44"},
            {"search", "search", "nfe=50", " --particles 2", "48"},
            {"search", "search", "nfe=50", " --particles 2 --steps 3", "24"},
            {"search", "search", "seconds=1e-9", " --particles 2", "8"},
            {"search", "tree search", "seconds=1e-9", " --tree", "4"},
        };
        for (String[] each : cases) {
            String line = each[0] + common + each[2] + each[3];
            assertEquals(
                    Double.parseDouble(each[4]), column(run(line).succeeded().out(), each[1], 3), line);
        }
        String pool = common.replace("--draws 2 ", "") + "nfe=17 --steps 2";
        assertEquals(15, column(run("best-of" + pool).succeeded().out(), "best of 5", 3));
        assertEquals(6, column(run("best-of" + pool + " --pool 2").succeeded().out(), "best of 2", 3));
        run("steer" + common + "nfe=8").failed("the budget is 8 evaluations, but one step costs 9");
        run("filter" + common + "nfe=99 --steps 20").failed("--budget nfe=99", "cost 202", "--steps");
        run("search" + common + "nfe=31").failed("the budget is 31 evaluations, but the first step costs 32");
        for (String wrong : List.of("5", "nfe", "nfe=0", "nfe=x", "seconds=-1", "seconds=NaN", "nef=5")) {
            run("steer" + common + wrong).refused("--budget", "'" + wrong + "'");
        }
    }

    @Test
    void theBestOfAPoolIsTheLastRowOfItsTable() throws IOException {
        Path out = folder.resolve("best.safetensors");
        String printed = run("best-of " + checkpoint
                        + " --reward brightness --pool 5 --steps 2 --class 3 --count 2 --out " + out)
                .succeeded()
                .out();
        assertEquals(5 * 3, column(printed, "best of 5", 3));
        List<double[]> table = new ArrayList<>();
        Matcher rows = Pattern.compile("(?m)^ +(\\d+) +(-?[\\d.]+) +(\\d+)$").matcher(printed);
        while (rows.find()) {
            table.add(new double[] {
                Double.parseDouble(rows.group(1)), Double.parseDouble(rows.group(2)), Double.parseDouble(rows.group(3))
            });
        }
        assertEquals(
                List.of(1.0, 2.0, 4.0, 5.0), table.stream().map(row -> row[0]).toList());
        for (int i = 1; i < table.size(); i++) {
            assertTrue(table.get(i)[1] >= table.get(i - 1)[1], printed);
        }
        assertEquals(column(printed, "best of 5", 0), table.getLast()[1], 1e-4);
    }

    @Test
    void aFilterPrintsItsNormaliser() throws IOException {
        Path out = folder.resolve("filter.safetensors");
        String weak = run("filter " + checkpoint + " --reward brightness --lambda 0 --particles 4 --draws 2 --steps 2"
                        + " --class 3 --count 2 --ess 1 --out " + out)
                .succeeded()
                .out();
        // Equal weights: all particles are effective and Z is 1.
        assertTrue(
                Pattern.compile("(?m)^ +1 +4\\.0 +4\\.0 +4 +-?0\\.0000$")
                        .matcher(weak)
                        .find(),
                weak);
        run("filter " + checkpoint + " --reward class:3 --lambda 2 --particles 4 --draws 2 --steps 2 --tempering 0.5"
                        + " --class 3 --count 1 --out " + out)
                .succeeded();
        assertEquals(1, numbers(out, "rewards").length);
        run("filter " + checkpoint + " --reward class:3 --twisted --particles 4 --steps 4 --class 3 --count 1 --out "
                        + out)
                .succeeded();
    }

    @Test
    void calibrationSuggestsStrengths() {
        String all = run("reward calibrate " + checkpoint + " --reward brightness --samples 16 --steps 2")
                .succeeded()
                .out();
        assertTrue(all.startsWith("brightness on 16 samples: mean ") && all.contains("50 %"), all);
        assertTrue(all.contains("5.000        -  not reachable"), all);
        String one = run("reward calibrate " + checkpoint
                        + " --reward brightness --samples 16 --steps 2 --kl 0.5 --ess 0.4")
                .succeeded()
                .out();
        assertTrue(
                Pattern.compile("(?m)^ +[\\d.e+]+ +0\\.5000 +[\\d.]+%$")
                        .matcher(one)
                        .find(),
                one);
        assertTrue(
                Pattern.compile("(?m)^ +[\\d.e+]+ +[\\d.]+ +40\\.0%$")
                        .matcher(one)
                        .find(),
                one);
        run("reward calibrate " + checkpoint + " --reward brightness --samples 16 --steps 2 --kl 9")
                .failed("9.0 is not reachable", "score more base samples");
    }

    @Test
    void fineTuningStopsAndContinues() {
        Path run = folder.resolve("finetuned");
        String line = "finetune " + checkpoint + " --reward class:3 --lambda 0.5 --independent brightness"
                + " --independent-samples 4 --independent-steps 1 --out " + run
                + " batch=2 log_every=1 checkpoint_every=1 evaluate_every=1 shift_items=4 warm_up=0 average_start=0"
                + " loss.form=semi_gradient";
        String out = run(line + " --steps 2").succeeded().out();
        assertTrue(out.contains("done: " + run.resolve("checkpoint.safetensors")), out);
        assertTrue(out.contains("best by brightness: " + run.resolve("best.safetensors")), out);
        run(line + " --steps 2").failed("a checkpoint exists in " + run, "--resume", "--out");
        assertTrue(run(line + " --steps 3 --resume").succeeded().out().contains("from step 2"), "it continues");
        for (String file : List.of("samples/step-000000001.png", "samples/step-000000003.png", "finetune.yaml")) {
            assertTrue(Files.isRegularFile(run.resolve(file)), file);
        }
        run("sample " + run.resolve("best.safetensors") + " --sampler ode --count 1 --steps 1 --class 3 --out "
                        + folder.resolve("tuned.png"))
                .succeeded();
    }

    /** Without --independent, a reward of classes is watched by the judge, and samples are compared with the base's. */
    @Test
    void classRewardsAreWatchedByTheJudge() throws IOException {
        Path run = folder.resolve("judged");
        String line = "finetune " + checkpoint + " --lambda 0.5 --independent-samples 6 --independent-steps 2 --steps 2"
                + " batch=2 evaluate_every=1 shift_items=4 warm_up=0 average_start=0 average_decay=0 learning_rate=1e-2"
                + " graphs=true recompute=true --class 10,3 --out ";
        String out = run(line + run + " --reward class:3").succeeded().out();
        assertTrue(out.contains("best by the judge: "), out);
        String described = Files.readString(run.resolve("finetune.yaml"));
        assertTrue(described.contains("graphs: true") && described.contains("recompute: true"), described);
        List<MetricsLog.Entry> log = MetricsLog.read(run.resolve("metrics.jsonl"));
        assertEquals(2, log.size());
        Map<String, Double> last = log.getLast().values();
        for (String name : List.of(
                "average/independent_reward",
                "average/independent_reward_se",
                "average/independent_reward_below_best",
                "average/reward",
                "average/reward_se",
                "average/frechet_to_base",
                "average/share/9",
                "base/independent_reward",
                "base/reward")) {
            assertTrue(last.containsKey(name), name + " is missing of " + last.keySet());
        }
        assertEquals(6, last.get("average/samples"));
        // Its rewards change by single roundings here, which can cancel.
        assertTrue(last.getOrDefault("drift_distance", 0.0) > 0, "the student has changed");
        assertEquals(log.getFirst().values().get("base/reward"), last.get("base/reward"), "the same noise");
        assertNotEquals(
                last.get("average/reward"), last.get("average/independent_reward"), "the judge is another network");
        String page = Files.readString(report(run));
        assertTrue(page.contains("Samples at step 2") && page.contains("best"), "a report");

        Path other = folder.resolve("unwatched");
        run(line + other + " --reward class:3 --no-independent").succeeded();
        Map<String, Double> unwatched =
                MetricsLog.read(other.resolve("metrics.jsonl")).getLast().values();
        assertFalse(unwatched.containsKey("average/independent_reward"), unwatched.toString());
        assertTrue(unwatched.containsKey("average/reward"), unwatched.toString());
        assertFalse(Files.exists(other.resolve("best.safetensors")));
    }

    private static Path report(Path run) {
        mfm("report", run.toString()).succeeded();
        return run.resolve("run-report.html");
    }

    /** The run of {@code vectors} gave no labels, so fine-tuning gives none either and leaves their rows unchanged. */
    @Test
    void aMapTrainedWithoutLabelsIsFineTunedWithoutThem() throws IOException {
        for (boolean given : new boolean[] {false, true}) {
            Path run = folder.resolve("unlabelled" + given);
            run("finetune " + vectors + " --reward linear:1,0 --steps 5 --out " + run
                            + " batch=8 warm_up=0 average_decay=0 average_start=0 evaluate_every=0 learning_rate=0.1"
                            + (given ? " loss.label_drop=0" : ""))
                    .succeeded();
            String rows = labelRows(Path.of(vectors));
            double[] before = numbers(Path.of(vectors), rows);
            double[] after = numbers(run.resolve("checkpoint.safetensors"), rows);
            // The last row is that of no label.
            int labelled = before.length / 4 * 3;
            assertEquals(!given, Arrays.equals(Arrays.copyOf(before, labelled), Arrays.copyOf(after, labelled)), rows);
        }
    }

    private static String labelRows(Path file) throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            return open.entries().keySet().stream()
                    .filter(name -> name.contains("y_embedder"))
                    .findFirst()
                    .orElseThrow();
        }
    }

    @Test
    void wishesOutOfRange() {
        String steer = "steer " + checkpoint + " --out " + folder.resolve("x.png") + " --reward class:3 ";
        run(steer + "--draws 0").failed("--draws 0", "at least 1");
        run(steer + "--chunk 0").failed("--chunk 0", "at least 1");
        run(steer + "--draws 3 --noise antithetic").failed("--draws 3", "even");
        run(steer + "--steps 0").failed("0 steps", "at least 1");
        run(steer + "--count 0").failed("--count 0");
        run(steer + "--batch 0").failed("--batch 0");
        run(steer + "--start 0").failed("--start 0.0", "above 0");
        run(steer + "--lambda NaN").failed("--lambda NaN");
        run(steer + "--factor 0").failed("factor (kappa) is 0.0");
        run(steer + "--coefficient 0").failed("coefficient", "0.0");
        run(steer + "--dynamics sde --solver heun").failed("--solver heun");
        run(steer + "--class 11").failed("--class 11 is out of range");
        run("steer " + checkpoint + " --out x.jpg --reward class:3").failed("x.jpg", ".png");
        String search = "search " + checkpoint + " --out " + folder.resolve("x.png") + " --reward class:3 ";
        run(search + "--particles 0").failed("--particles 0");
        run(search + "--lambda -1").failed("--lambda -1.0", "above 0");
        run(search + "--tree").failed("--budget");
        run(search + "--tree --budget nfe=9 --particles 2").failed("--particles");
        run("best-of " + checkpoint + " --reward class:3 --pool 0").failed("--pool 0");
        run("filter " + checkpoint + " --reward class:3 --ess 2").failed("--ess 2.0", "0 to 1");
        run("filter " + checkpoint + " --reward class:3 --tempering 1").failed("share", "1.0");
        run("reward calibrate " + checkpoint + " --reward class:3 --samples 1").failed("--samples 1");
        run("reward calibrate " + checkpoint + " --reward class:3 --kl 0").failed("--kl 0.0");
        String finetune = "finetune " + checkpoint + " --reward class:3 --out " + folder.resolve("x") + " ";
        run(finetune + "batc=2").failed("unknown setting 'batc'", "did you mean 'batch'?");
        run(finetune + "loss.form=best").failed("loss.form", "semi_gradient");
        run(finetune + "learning_rate=0").failed("learning rate is 0.0");
        run(finetune + "recompute=maybe").failed("setting 'recompute' needs true or false");
        run(finetune + "--pretrained").failed("--pretrained", "one of them");
        run("finetune --reward class:3").failed("no map was given");
    }

    @Test
    void wrongRewardsAndMethods() {
        run("steer " + checkpoint + " --reward clas:3")
                .refused("reward 'clas:3' is not known", "did you mean 'class'?");
        run("steer " + checkpoint + " --reward class:x").refused("CLASS is 'x'", "whole number");
        run("steer " + checkpoint + " --reward class:3 --method mfm-x")
                .refused("expected one of [mfm-g,", "did you mean 'mfm-g'?");
        run("steer " + checkpoint).refused("--reward");
        run("steer " + checkpoint + " --reward class:30").failed("class");
        run("steer " + checkpoint + " --reward linear:1,2").failed("linear");
        run("steer " + checkpoint + " --reward inpaint:0,0,28,28,0.1").failed("inpaint", "rectangle");
        run("steer " + checkpoint + " --reward blur:1,0.1 --image 10000").failed("--image 10000 is out of range");
        String out = " --out " + folder.resolve("x.safetensors");
        run("steer " + vectors + " --reward brightness" + out).failed("scores images", "reward of states");
        run("steer " + vectors + " --reward class:3" + out)
                .failed("needs a classifier", "[1, 28, 28]", "shape [2]", "linear");
    }
}
