package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.files;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.cli.report.Text;
import org.metaflowmaps.runtime.NativeMemory;

/** {@code mfm evaluate} and its measurements, on an almost untrained map. */
final class EvaluateCommandTest {
    @TempDir
    private static Path folder;

    private static String checkpoint = "";

    @BeforeAll
    static void train() {
        Path run = folder.resolve("trained");
        tiny("train", "quickstart", "--device", "cpu", "--out", run.toString()).succeeded();
        checkpoint = run.resolve("checkpoint.safetensors").toString();
    }

    private static List<String> rows(Path out) throws IOException {
        return Files.readAllLines(out.resolve("frechet.csv"));
    }

    /** Removes the last column, the seconds. */
    private static List<String> untimed(List<String> rows) {
        return rows.stream().map(row -> row.substring(0, row.lastIndexOf(','))).toList();
    }

    @Test
    void distancesAreATableFilesAndAPicture() throws IOException {
        long live = NativeMemory.liveTensors();
        Path out = folder.resolve("evaluation");
        String text = mfm(
                        "evaluate",
                        "fashion-mnist",
                        checkpoint,
                        "--device",
                        "cpu",
                        "--images",
                        "40",
                        "--steps",
                        "1,2",
                        "--glass",
                        "2",
                        "--times",
                        "0,0.5",
                        "--out",
                        out.toString())
                .succeeded()
                .out();
        assertTrue(text.startsWith("Fréchet distance of 40 posterior draws"), text);
        assertTrue(text.endsWith(out + System.lineSeparator()), text);
        List<String> files = Text.available()
                ? List.of("frechet.csv", "frechet.md", "frechet.png")
                : List.of("frechet.csv", "frechet.md");
        assertEquals(files, files(out));
        List<String> rows = rows(out);
        assertEquals("time,sampler,steps,evaluations,to_noised,to_others,floor,images,seconds", rows.getFirst());
        List<String> begin = List.of(
                "0.0,MFM,1,1,", "0.0,MFM,2,2,", "0.0,GLASS,2,2,", "0.5,MFM,1,1,", "0.5,MFM,2,2,", "0.5,GLASS,2,2,");
        assertEquals(begin.size() + 1, rows.size());
        for (int i = 0; i < begin.size(); i++) {
            String row = rows.get(i + 1);
            assertTrue(row.startsWith(begin.get(i)), row);
            String[] cells = row.split(",", -1);
            double floor = Double.parseDouble(cells[6]);
            assertTrue(floor > 0 && Double.parseDouble(cells[5]) > floor, row);
        }
        assertEquals(
                2 + 2 + begin.size(),
                Files.readAllLines(out.resolve("frechet.md")).size());
        if (Text.available()) {
            assertNotNull(ImageIO.read(out.resolve("frechet.png").toFile()));
        }
        // The map as its own teacher: the same drift, the same distances.
        Path again = folder.resolve("again");
        mfm(
                        "evaluate",
                        "fashion-mnist",
                        checkpoint,
                        "--teacher",
                        checkpoint,
                        "--device",
                        "cpu",
                        "--images",
                        "40",
                        "--steps",
                        "1,2",
                        "--glass",
                        "2",
                        "--times",
                        "0,0.5",
                        "--out",
                        again.toString())
                .succeeded();
        assertEquals(untimed(rows), untimed(rows(again)));
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static String evaluations(String map, String... more) throws IOException {
        Path out = folder.resolve("guided");
        mfm(Stream.concat(
                                Stream.of(
                                        "evaluate",
                                        "fashion-mnist",
                                        map,
                                        "--teacher",
                                        checkpoint,
                                        "--device",
                                        "cpu",
                                        "--images",
                                        "4",
                                        "--steps",
                                        "1",
                                        "--glass",
                                        "2",
                                        "--times",
                                        "0.5",
                                        "--out",
                                        out.toString()),
                                Stream.of(more))
                        .toArray(String[]::new))
                .succeeded();
        return rows(out).get(2);
    }

    /** A guided teacher needs two evaluations per step. */
    @Test
    void guidanceIsOfTheMapsOwnScales() throws IOException {
        Path run = folder.resolve("scaled");
        tiny(
                        "train",
                        "quickstart",
                        "--device",
                        "cpu",
                        "--out",
                        run.toString(),
                        "model.transformer.model_guidance_class_ws=[2.5]",
                        "guidance=2.5",
                        "loss.velocity=guided")
                .succeeded();
        String scaled = run.resolve("checkpoint.safetensors").toString();
        assertTrue(evaluations(scaled).startsWith("0.5,GLASS,2,4,"));
        assertTrue(evaluations(scaled, "--guidance", "1").startsWith("0.5,GLASS,2,2,"));
        assertTrue(evaluations(checkpoint).startsWith("0.5,GLASS,2,2,"));
        mfm("evaluate", "fashion-mnist", checkpoint, "--guidance", "2.25", "--device", "cpu")
                .failed("--guidance 2.25", "1.0");
    }

    @Test
    void driftsOfThreeKindsAreCompared() {
        String out = mfm(
                        "evaluate",
                        "drift",
                        checkpoint,
                        "--device",
                        "cpu",
                        "--items",
                        "3",
                        "--draws",
                        "2",
                        "--times",
                        "0,0.5")
                .succeeded()
                .out();
        List<String> lines = out.lines().toList();
        assertEquals(4, lines.size(), out);
        assertTrue(
                lines.get(2).strip().startsWith("0.0 ") && lines.get(3).strip().startsWith("0.5 "), out);
        assertEquals(6, lines.get(3).strip().split(" +", -1).length, out);
    }

    @Test
    void wishesOutOfRange() {
        mfm("evaluate", "fashion-mnist", checkpoint, "--images", "5001").failed("--images 5001", "2 to 5000");
        mfm("evaluate", "fashion-mnist", checkpoint, "--times", "1.5").failed("--times 1.5", "0 to 1");
        mfm("evaluate", "fashion-mnist", checkpoint, "--steps", "0").failed("--steps [0]");
        mfm("evaluate", "fashion-mnist", checkpoint, "--glass", "-1").failed("--glass [-1]");
        mfm(
                        "evaluate",
                        "fashion-mnist",
                        checkpoint,
                        "--teacher",
                        folder.resolve("missing").toString())
                .failed("missing does not exist");
        mfm("evaluate", "drift", checkpoint, "--items", "0").failed("--items 0", "at least 1");
        mfm("evaluate", "drift", checkpoint, "--device", "cpu", "--times", "1").failed("time 1.0");
        mfm("evaluate", "drift", checkpoint, "--device", "cpu", "--draws", "3").failed("3 draws");
        mfm("evaluate", "drift").refused("CHECKPOINT", "--pretrained");
        mfm(
                        "classifier",
                        "--data",
                        folder.toString(),
                        "--out",
                        folder.resolve("c.safetensors").toString())
                .failed("train-images-idx3-ubyte");
        Command none = mfm("evaluate");
        assertEquals(2, none.code());
        assertTrue(none.err().startsWith("Usage: mfm evaluate"), none.err());
    }

    private static Command frontier(Path out, String... more) {
        List<String> all = new ArrayList<>(List.of(
                "evaluate", "frontier", checkpoint, "--device", "cpu", "--out", out.toString(), "--images", "3"));
        all.addAll(List.of("--steps", "2", "--pool", "8", "--best-of", "1,4", "--draws", "1", "--search", "1"));
        all.addAll(List.of("--tree", "2", "--smc", "2", "--particle-draws", "2"));
        all.addAll(List.of(more));
        return mfm(all.toArray(String[]::new));
    }

    @Test
    void theFrontierIsATableSentencesAndAPicture() throws IOException {
        long live = NativeMemory.liveTensors();
        Path out = folder.resolve("frontier");
        String text = frontier(out).succeeded().out();
        assertEquals(live, NativeMemory.liveTensors());
        assertTrue(text.contains("best-of, N = 4"), text);
        assertTrue(text.contains("Mean reward: mfm-g, N = 1 has"), text);
        assertEquals(
                Text.available()
                        ? List.of("frontier.jsonl", "frontier.md", "frontier.png")
                        : List.of("frontier.jsonl", "frontier.md"),
                files(out));
        List<String> stored = Files.readAllLines(out.resolve("frontier.jsonl"));
        // Settings, the pool, and each method's cell, two of best-of.
        assertEquals(1 + 1 + 10, stored.size());
        // The same command finds everything in the file.
        assertEquals(text, frontier(out).succeeded().out());
        assertEquals(stored, Files.readAllLines(out.resolve("frontier.jsonl")));
        Command other = frontier(out, "--seed", "2");
        assertEquals(1, other.code());
        assertTrue(other.err().contains("holds results of other settings: seed 1, given 2"), other.err());
        Command large = frontier(folder.resolve("none"), "--best-of", "9");
        assertTrue(large.code() != 0 && large.err().contains("--best-of 9 is out of range: give 1 to 8"), large.err());
        Command unknown = frontier(folder.resolve("none"), "--methods", "mfm");
        assertTrue(unknown.err().contains("expected one of [base, mfm-g"), unknown.err());
    }
}
