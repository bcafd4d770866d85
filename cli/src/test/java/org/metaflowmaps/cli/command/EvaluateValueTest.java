package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.runtime.NativeMemory;

/** {@code mfm evaluate value} and {@code jacobian} as a user runs them. */
final class EvaluateValueTest {
    @TempDir
    private static Path folder;

    private static String map = "";

    @BeforeAll
    static void train() {
        Path out = folder.resolve("run");
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
                        "optimizer.decay=0")
                .succeeded();
        map = out.resolve("checkpoint.safetensors").toString();
    }

    private static Command value(Path out, String... more) {
        List<String> all = new ArrayList<>(List.of("evaluate", "value", map, "--device", "cpu", "--quick"));
        all.addAll(List.of("--reward", "linear:1,0.5", "--times", "0.3,0.5", "--out", out.toString()));
        all.addAll(List.of(more));
        return mfm(all.toArray(String[]::new));
    }

    /** A killed evaluation leaves some lines and part of one; the rest is computed again, with the same numbers. */
    @Test
    void aStoppedEvaluationContinues() throws IOException {
        long live = NativeMemory.liveTensors();
        Path out = folder.resolve("continued");
        value(out).succeeded();
        Path file = out.resolve("value.jsonl");
        String whole = Files.readString(out.resolve("value.md"));
        List<String> lines = Files.readAllLines(file);
        // Settings, and for each time the paths, three numbers of steps and four of GLASS.
        assertEquals(1 + 2 * 8, lines.size());
        assertTrue(
                lines.getFirst().startsWith("{\"settings\":{") && lines.get(1).startsWith("{\"cell\":"));
        Files.writeString(
                file,
                String.join("\n", lines.subList(0, 5)) + "\n" + lines.get(5).substring(0, 40));
        value(out).succeeded();
        assertEquals(whole, Files.readString(out.resolve("value.md")));
        List<String> again = Files.readAllLines(file);
        assertEquals(lines.size(), again.size());
        assertEquals(lines.subList(0, 5), again.subList(0, 5));
        assertEquals(live, NativeMemory.liveTensors());
        // Only the settings' beginning: nothing was measured yet.
        Files.writeString(file, lines.getFirst().substring(0, 30));
        value(out, "--steps", "1", "--glass", "0").succeeded();
        assertEquals(5, Files.readAllLines(file).size());
    }

    @Test
    void resultsOfOtherSettingsAreRefused() throws IOException {
        Path out = folder.resolve("other");
        String[] small = {"--steps", "1", "--glass", "0"};
        value(out, small).succeeded();
        Command run = value(out, "--seed", "2", "--draws", "8");
        assertTrue(run.code() != 0 && run.err().contains("draws was 16 and is now 8"), run.err());
        assertTrue(run.err().contains("seed was 1 and is now 2"), run.err());
        run = value(out, "--steps", "1", "--glass", "0", "--unlabelled");
        assertTrue(run.err().contains("unlabelled was false and is now true"), run.err());
        Path file = out.resolve("value.jsonl");
        Files.writeString(file, "a user's text\n");
        run = value(out, small);
        assertTrue(run.code() != 0 && run.err().contains("line 1"), run.err());
        assertEquals("a user's text\n", Files.readString(file));
    }

    @Test
    void theJacobianIsComparedWithTheCovariance() throws IOException {
        Path out = folder.resolve("jacobian");
        String[] command = {"evaluate", "jacobian", map, "--device", "cpu", "--quick", "--out", out.toString()};
        Command run = mfm(command);
        run.succeeded();
        // Four times, eight items, nine pairs each.
        String table = Files.readString(out.resolve("jacobian.md"));
        assertTrue(table.contains("| 0.1 | 8 | 72 | ") && table.contains("| 0.5 | 8 | 72 | "), table);
        assertTrue(run.out().contains(table), run.out());
        assertEquals(5, Files.readAllLines(out.resolve("jacobian.jsonl")).size());
    }

    @Test
    void optionsOutOfRangeAreRefused() {
        refused("--times 0.0 ", "--times", "0");
        refused("--items 3 ", "--items", "3");
        refused("--draws 5 ", "--draws", "5");
        refused("--particles 0 ", "--particles", "0");
        refused("--path-steps 0 ", "--path-steps", "0");
        refused("--glass [-1]", "--glass", "-1");
        Command blurred = mfm("evaluate", "value", map, "--reward", "blur:1,0.1");
        assertTrue(blurred.code() != 0 && blurred.err().contains("observes one image"), blurred.err());
    }

    private static void refused(String message, String... options) {
        Command run = value(folder.resolve("refused"), options);
        assertTrue(run.code() != 0 && run.err().contains(message), run.err());
    }
}
