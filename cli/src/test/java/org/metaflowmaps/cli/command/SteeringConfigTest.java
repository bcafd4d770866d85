package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Command;

/** Files of options for the commands that steer. */
final class SteeringConfigTest {
    @TempDir
    private static Path folder;

    private static String checkpoint = "";

    @BeforeAll
    static void train() {
        tiny("train", "quickstart", "--device", "cpu", "--out", folder.toString())
                .succeeded();
        checkpoint = folder.resolve("checkpoint.safetensors").toString();
    }

    private static String file(String... lines) throws IOException {
        Path file = folder.resolve("options.yaml");
        Files.writeString(file, String.join("\n", lines) + "\n");
        return file.toString();
    }

    private static Command run(String line) {
        List<String> words = new ArrayList<>(Arrays.asList(line.split(" ", -1)));
        words.addAll(List.of("--device", "cpu"));
        return mfm(words.toArray(String[]::new));
    }

    private static byte[] result(String line) throws IOException {
        Path out = folder.resolve("out.safetensors");
        run(line + " --out " + out).succeeded();
        return Files.readAllBytes(out);
    }

    /** The same samples, rewards and metadata to the last bit. */
    @Test
    void aFileGivesTheSameAsItsOptions() throws IOException {
        String file = file(
                "method: mfm-gf",
                "reward: 2*brightness@0.3,0.1 + class:3@-4,1",
                "strength: 5",
                "draws: 2",
                "class: [3, 5]",
                "count: 2",
                "guidance_scale: 0.5",
                "dynamics: sde",
                "compare: true",
                "budget: {nfe: 15}");
        String options = "steer|" + checkpoint + "|--method|mfm-gf|--reward|2*brightness@0.3,0.1 + class:3@-4,1"
                + "|--lambda|5|--draws|2|--class|3,5|--count|2|--guidance-scale|0.5|--dynamics|sde|--compare"
                + "|--budget|nfe=15|--device|cpu|--out|" + folder.resolve("expected.safetensors");
        mfm(options.split("\\|", -1)).succeeded();
        byte[] expected = Files.readAllBytes(folder.resolve("expected.safetensors"));
        assertArrayEquals(expected, result("steer " + checkpoint + " --config " + file));
        assertArrayEquals(expected, result("steer --config=" + file + " " + checkpoint));
    }

    @Test
    void theCommandLineWins() throws IOException {
        String file = file("reward: brightness", "lambda: 9", "draws: 2", "class: 3", "count: 3", "steps: 4");
        String expected =
                "steer " + checkpoint + " --reward brightness --lambda 2 --draws 4 --class 3 --count 2 --steps 2";
        String common = "steer " + checkpoint + " --config " + file;
        assertArrayEquals(result(expected), result(common + " --strength 2 --draws=4 --count 2 --steps 2"));
        assertArrayEquals(result(expected), result(common + " strength=2 draws=4 count=2 steps=2"));
        String tree = file("reward: brightness", "class: 3", "count: 1", "draws: 2", "tree: true", "budget: {nfe: 40}");
        String search = "search " + checkpoint + " --config " + tree + " --out " + folder.resolve("x.safetensors");
        assertTrue(run(search).succeeded().out().contains("tree search"));
        assertTrue(run(search + " tree=false").succeeded().out().contains("\nsearch "));
        assertTrue(run(search + " budget.nfe=16").succeeded().out().contains(" 16 "));
    }

    @Test
    void otherCommandsReadFilesToo() throws IOException {
        String out = " --out " + folder.resolve("x.safetensors");
        String common = " " + checkpoint + " --config ";
        run("filter" + common + file("reward: brightness", "particles: 2", "draws: 1", "steps: 2", "class: 3") + out)
                .succeeded();
        run("best-of" + common + file("reward: brightness", "pool: 2", "steps: 2", "class: 3") + out)
                .succeeded();
        assertTrue(run("reward calibrate" + common + file("reward: brightness", "samples: 4", "steps: 1", "kl: 0.1"))
                .succeeded()
                .out()
                .startsWith("brightness on 4 samples"));
        String tune = file(
                "reward: class:3",
                "steps: 2",
                "batch: 2",
                "log_every: 1",
                "shift_items: 4",
                "learning_rate: 3e-5",
                "loss: {trust: 0.1}");
        String tuned = folder.resolve("tuned").toString();
        run("finetune" + common + tune + " --steps 1 batch=4 --out " + tuned).succeeded();
        assertEquals(
                1,
                Files.readAllLines(folder.resolve("tuned").resolve("metrics.jsonl"))
                        .size());
        run("finetune" + common + file("reward: class:3", "loss: {trst: 1}") + " --out " + tuned)
                .refused("unknown word 'loss.trst'", "did you mean 'loss.trust'?");
    }

    @Test
    void wrongFilesAreRefused() throws IOException {
        String common = "steer " + checkpoint + " --reward brightness --config ";
        run(common + file("drwas: 4")).refused("options.yaml: unknown word 'drwas': did you mean 'draws'?");
        run(common + file("particles: 4")).refused("unknown word 'particles'", "the words are", "guidance_scale");
        run(common + file("config: other.yaml")).refused("unknown word 'config'");
        run(common + file("draws: four")).refused("--draws", "'four' is not an int", "(in ", "options.yaml)");
        run(common + file("draws: 2.5")).refused("--draws", "'2.5' is not an int");
        run(common + file("draws: [1, 2]")).refused("--draws", "'1,2' is not an int");
        run(common + file("draws:")).refused("options.yaml: draws is null");
        run(common + file("compare: 1")).refused("options.yaml: compare is 1, expected true or false");
        run(common + file("method: mfm-x")).refused("'mfm-x'", "options.yaml)", "did you mean 'mfm-g'?");
        run(common + file("budget: 5000")).refused("'5000' is not a budget", "options.yaml)");
        run(common + file("lambda: 2", "strength: 3")).refused("'strength' was given by another name");
        run(common + file("draws: 2", "draws: 3")).refused("options.yaml", "draws");
        run(common + file("draws: {")).refused("options.yaml");
        run(common + file("- draws")).refused("options.yaml is not a YAML mapping of options");
        run(common + folder).refused(folder + " is not a file");
        run(common + folder.resolve("none.yaml")).refused("none.yaml does not exist");
        run(common + file("draws: 2") + " --config " + file("draws: 2")).refused("--config was given twice");
        run("steer " + checkpoint + " --reward brightness drwas=4").refused("unknown word 'drwas'", "'draws'");
        run("steer " + checkpoint + " --config " + file("draws: 2")).refused("--reward");
        mfm("steer", checkpoint, "--config").refused("--config");
    }
}
