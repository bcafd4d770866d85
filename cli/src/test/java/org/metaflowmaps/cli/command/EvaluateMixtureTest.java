package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** {@code mfm evaluate mixture} as a user runs it. */
final class EvaluateMixtureTest {
    @TempDir
    private static Path folder;

    private static String first = "";
    private static String second = "";

    @BeforeAll
    static void train() {
        first = trained("first", "data.variance=0.5");
        second = trained("second", "data.variance=0.5");
    }

    private static String trained(String name, String setting) {
        Path out = folder.resolve(name);
        mfm(
                        "train",
                        "mixture/meta-flow-map",
                        "--device",
                        "cpu",
                        "--out",
                        out.toString(),
                        "batch=8",
                        "steps=2",
                        "checkpoint_every=2",
                        "model.mlp.width=8",
                        "optimizer.decay=0",
                        setting)
                .succeeded();
        return out.resolve("checkpoint.safetensors").toString();
    }

    private static Command evaluate(String... more) {
        List<String> all = new ArrayList<>(List.of(
                "evaluate", "mixture", "--device", "cpu", "--contexts", "3", "--draws", "20", "--projections", "4"));
        all.addAll(List.of(more));
        return mfm(all.toArray(String[]::new));
    }

    /** Unlabelled draws of a map trained only with labels mean little, and the table does not show it. */
    @Test
    void aLabelThatWasNeverTrainedIsWarnedOf() {
        String labelled = trained("labelled", "label_drop=0");
        Command run = evaluate(labelled, "--time", "0.5");
        assertEquals(0, run.code(), run.err());
        assertTrue(run.err().contains("warning: " + labelled + " was trained with label_drop=0"), run.err());
        // Success without output on standard error.
        evaluate(first, "--time", "0.5").succeeded();
    }

    @Test
    void severalMapsAreOneTable() throws IOException {
        long live = NativeMemory.liveTensors();
        Path json = folder.resolve("table.json");
        String out = evaluate(first, second, "--time", "0.3,0.8", "--mmd", "--out", json.toString())
                .succeeded()
                .out();
        assertEquals(live, NativeMemory.liveTensors());
        List<String> lines = out.lines().toList();
        // Two metrics at two times.
        assertEquals(
                4, lines.stream().filter(line -> line.startsWith("| " + first)).count(), out);
        assertEquals(
                4, lines.stream().filter(line -> line.startsWith("| " + second)).count(), out);
        List<String> header = List.of(lines.stream()
                .filter(line -> line.startsWith("| map"))
                .findFirst()
                .orElseThrow()
                .split(" *\\| *", -1));
        assertEquals(
                List.of(
                        "",
                        "map",
                        "floor",
                        "1 step",
                        "2 steps",
                        "4 steps",
                        "GLASS 4",
                        "GLASS 16",
                        "GLASS 64",
                        "1 step / floor",
                        ""),
                header);
        JsonNode tree = JsonMapper.shared().readTree(Files.readString(json));
        for (String metric : List.of("sliced_w2", "squared_mmd")) {
            assertEquals(2, tree.get(metric).get("maps").size());
            assertEquals(2, tree.get(metric).get("maps").get(first).get("4").size());
            assertEquals(2, tree.get(metric).get("floor").size());
        }
        String row = lines.stream()
                .filter(line -> line.startsWith("| " + first))
                .findFirst()
                .orElseThrow();
        assertTrue(
                row.contains(String.format(
                        Locale.ROOT,
                        "%.4f",
                        tree.get("sliced_w2")
                                .get("maps")
                                .get(first)
                                .get("1")
                                .get(0)
                                .asDouble())),
                row);
    }

    @Test
    void theSameSeedGivesTheSameTable() throws IOException {
        Path page = folder.resolve("table.md");
        String once = evaluate(first, "--time", "0.5").succeeded().out();
        evaluate(first, "--time", "0.5", "--out", page.toString()).succeeded();
        assertEquals(once, Files.readString(page));
        String other =
                evaluate(first, "--time", "0.5", "--seed", "2").succeeded().out();
        assertTrue(!other.equals(once));
    }

    /** A reward moves the law that draws are compared with; at time 0 the posterior is that law. */
    @Test
    void aRewardTiltsTheMixture() {
        String plain = evaluate(first, "--time", "0").succeeded().out();
        String flat = evaluate(first, "--time", "0", "--reward", "linear-gaussian:0,1e6,1,0")
                .succeeded()
                .out();
        String tilted = evaluate(first, "--time", "0", "--reward", "linear-gaussian:5,0.1,1,0")
                .succeeded()
                .out();
        // A reward without effect leaves the exact drift, so GLASS is as near as before.
        double before = glass(plain);
        assertEquals(before, glass(flat), 0.3 * before, flat);
        assertTrue(!tilted.equals(plain), tilted);
        evaluate(first, "--reward", "linear:1,0").failed("--reward linear:1,0", "linear-gaussian");
        evaluate(first, "--reward", "linear-gaussian:0,1,1").failed("1 coordinates");
    }

    /** Returns the first row's distance of 64 steps of GLASS. */
    private static double glass(String out) {
        String row = out.lines()
                .filter(line -> line.startsWith("| " + first))
                .findFirst()
                .orElseThrow();
        return Double.parseDouble(List.of(row.split(" *\\| *", -1)).get(8));
    }

    @Test
    void whatCannotBeComparedIsSaid() throws IOException {
        String other = trained("other", "data.variance=0.7");
        evaluate(first, other).failed("another mixture", "--config");
        evaluate(first, other, "--config", "mixture/flow", "--time", "0.5").succeeded();
        evaluate(first, "--time", "1").failed("times are [1.0]");
        evaluate(first, "--out", "table.txt").failed("--out table.txt", ".md", ".json");
        evaluate(first, "--config", "fashion-mnist/flow").failed("flow is not a configuration of a mixture");
        evaluate(folder.resolve("nothing.safetensors").toString()).failed("nothing.safetensors");
        evaluate().refused("CHECKPOINT");
    }

    private static String drifts(Path checkpoint, String... more) {
        return mfm(Stream.concat(
                                Stream.of(
                                        "evaluate",
                                        "drift",
                                        checkpoint.toString(),
                                        "--device",
                                        "cpu",
                                        "--items",
                                        "5",
                                        "--draws",
                                        "2",
                                        "--times",
                                        "0.5"),
                                Stream.of(more))
                        .toArray(String[]::new))
                .succeeded()
                .out();
    }

    private static List<String> rows(String out) {
        return out.lines().skip(1).toList();
    }

    /** The first map with other rows for untrained labels, beside the same configuration. */
    private static Path withOtherLabels() throws IOException {
        Path run = Files.createDirectory(folder.resolve("labels"));
        Files.copy(Path.of(first).resolveSibling("config.yaml"), run.resolve("config.yaml"));
        try (SafetensorsFile open = SafetensorsFile.open(Path.of(first));
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            for (String name : open.entries().keySet()) {
                Tensor tensor = open.view(name).clone();
                if (name.contains("y_embedder")) {
                    tensor.narrow(0, 0, 3).fill_(7);
                }
                tensors.put(name, tensor);
            }
            Path other = run.resolve("checkpoint.safetensors");
            Map<String, String> metadata = new LinkedHashMap<>(open.metadata());
            metadata.remove("sha256"); // the checksum of the old values
            Safetensors.writeSealed(other, metadata, tensors);
            return other;
        }
    }

    @Test
    void driftsOfAMixturesMapAreCompared() throws IOException {
        long live = NativeMemory.liveTensors();
        String out = drifts(Path.of(first));
        assertEquals(3, out.lines().count(), out);
        assertTrue(out.lines().toList().getLast().strip().startsWith("0.5 "), out);
        assertTrue(out.startsWith("5 items of the training data of " + folder), out);
        assertEquals(
                rows(out),
                rows(drifts(withOtherLabels())),
                "labels were dropped in training: their rows are not asked");
        Path alone = Files.copy(
                Path.of(first), Files.createDirectory(folder.resolve("alone")).resolve("checkpoint.safetensors"));
        mfm("evaluate", "drift", alone.toString(), "--device", "cpu").failed("no config.yaml beside it", "--config");
        assertEquals(rows(out), rows(drifts(alone, "--config", "mixture/distill")));
        mfm("evaluate", "drift", first, "--config", "quickstart", "--device", "cpu")
                .failed("Fashion-MNIST, which does not fit the map", "--config");
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void aFlowHasNoPosteriors() {
        Path out = folder.resolve("flow");
        mfm(
                        "train",
                        "mixture/flow",
                        "--device",
                        "cpu",
                        "--out",
                        out.toString(),
                        "batch=8",
                        "steps=2",
                        "checkpoint_every=2",
                        "model.mlp.width=8",
                        "optimizer.decay=0")
                .succeeded();
        String flow = out.resolve("checkpoint.safetensors").toString();
        evaluate(flow, "--time", "0.5").failed(flow, "without contexts", "layout meta-flow-map");
        mfm("evaluate", "drift", flow, "--device", "cpu").failed("without contexts");
    }
}
