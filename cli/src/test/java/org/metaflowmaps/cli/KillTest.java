package org.metaflowmaps.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.training.CheckpointFolder;
import org.metaflowmaps.training.metrics.MetricsLog;

/** A run in a separate process that is killed at random times and resumed ends as if it had never stopped. */
@DisabledOnOs(value = OS.WINDOWS, disabledReason = "Windows has no signal that lets a process end by itself")
final class KillTest {
    private static final int STEPS_PER_KILL = 60; // the stop, at the last step but one, must come before the run ends
    private static final Pattern RESUMPTION = Pattern.compile("stopped at step (\\d+); continue with: \\./mfm (.*)");

    @TempDir
    private Path folder;

    private final Random random = new Random(7);
    private Path run = Path.of("");
    private Path output = Path.of("");
    private @Nullable Process child;

    @BeforeEach
    void name() {
        // The name tests that the printed command is quoted.
        run = folder.resolve("it's a run");
        output = folder.resolve("output");
    }

    @AfterEach
    void end() throws InterruptedException {
        if (child != null) {
            exit(child.destroyForcibly());
        }
    }

    private static int exit(Process process) throws InterruptedException {
        assertTrue(process.waitFor(2, TimeUnit.MINUTES), "the process is still running after two minutes");
        return process.exitValue();
    }

    private Process process() {
        return Objects.requireNonNull(child);
    }

    private static String[] settings(int steps) {
        return new String[] {
            "steps=" + steps,
            "batch=16",
            "log_every=1",
            "checkpoint_every=5",
            "model.mlp.width=32",
            "model.mlp.depth=2",
            "label_drop=0.3",
            "accumulate=2",
            "optimizer.warm_up=10",
            "optimizer.decay=20",
            "average.start=7"
        };
    }

    private void start(String... arguments) throws IOException {
        child = Command.start(output, List.of(arguments));
    }

    private void train(int steps, boolean resume) throws IOException {
        Stream<String> options =
                Stream.of("train", "mixture/meta-flow-map", "--device", "cpu", "--out", run.toString());
        Stream<String> going = resume ? Stream.of("--resume") : Stream.empty();
        start(Stream.concat(Stream.concat(options, going), Stream.of(settings(steps)))
                .toArray(String[]::new));
    }

    /** Waits until the run has logged a step; earlier runs' logs count after this run has begun. */
    private void reach(long step) throws IOException, InterruptedException {
        Path log = run.resolve("metrics.jsonl");
        while (!Files.readString(output).contains("training ") || !Files.exists(log) || lines(log) < step) {
            if (process().waitFor(2, TimeUnit.MILLISECONDS)) {
                fail("the run ended by itself before step " + step + ": " + Files.readString(output));
            }
        }
    }

    private static long lines(Path file) throws IOException {
        long count = 0;
        for (byte one : Files.readAllBytes(file)) {
            count += one == '\n' ? 1 : 0;
        }
        return count;
    }

    private void kill() throws InterruptedException {
        assertEquals(128 + 9, exit(process().destroyForcibly()));
    }

    private List<String> temporaries() throws IOException {
        return Files.exists(run)
                ? Command.files(run).stream()
                        .filter(name -> name.endsWith(".tmp"))
                        .toList()
                : List.of();
    }

    /** Kills a run several times, spread over its length; returns how many kills interrupted the writing of a file. */
    private int killed(int kills, int steps) throws IOException, InterruptedException {
        int torn = 0;
        for (int i = 0; i < kills; i++) {
            train(steps, !new CheckpointFolder(run).isEmpty());
            if (i % 5 == 3) {
                // While the process starts or resumes the run.
                Thread.sleep(random.nextInt(500));
            } else {
                reach((long) (i + 1) * steps / (kills + 2) + random.nextInt(7) - 3);
                TimeUnit.MICROSECONDS.sleep(random.nextInt(30_000));
            }
            kill();
            torn += temporaries().isEmpty() ? 0 : 1;
        }
        return torn;
    }

    private void assertEndsLike(Path whole, int steps) throws IOException {
        assertArrayEquals(
                Files.readAllBytes(whole.resolve("checkpoint.safetensors")),
                Files.readAllBytes(run.resolve("checkpoint.safetensors")),
                "weights, moments, average, noise and counts are the same bits");
        List<MetricsLog.Entry> log = MetricsLog.read(run.resolve("metrics.jsonl"));
        assertEquals(
                LongStream.rangeClosed(1, steps).boxed().toList(),
                log.stream().map(MetricsLog.Entry::step).toList());
        assertEquals(
                MetricsLog.read(whole.resolve("metrics.jsonl")).stream()
                        .map(KillTest::losses)
                        .toList(),
                log.stream().map(KillTest::losses).toList());
        assertEquals(List.of(), temporaries());
        assertEquals(2, Command.files(run.resolve("checkpoints")).size());
    }

    private static Map<String, Double> losses(MetricsLog.Entry entry) {
        Map<String, Double> values = new TreeMap<>(entry.values());
        values.remove("items_per_second");
        values.keySet().removeIf(name -> name.startsWith("memory/"));
        return values;
    }

    private Path uninterrupted(int steps) {
        Path whole = folder.resolve("whole");
        Command.mfm(Stream.concat(
                                Stream.of(
                                        "train", "mixture/meta-flow-map", "--device", "cpu", "--out", whole.toString()),
                                Stream.of(settings(steps)))
                        .toArray(String[]::new))
                .succeeded();
        return whole;
    }

    /** Killed four times, then stopped, then resumed by the printed command. */
    @Test
    void killedAndStoppedAndResumed() throws IOException, InterruptedException {
        int kills = 4;
        int steps = (kills + 2) * STEPS_PER_KILL;
        killed(kills, steps);
        train(steps, true);
        reach((long) (kills + 1) * steps / (kills + 2));
        process().destroy();
        assertEquals(0, exit(process()), () -> "exit code of a run that was asked to stop");
        String said = Files.readString(output);
        Matcher resumption = RESUMPTION.matcher(said);
        assertTrue(resumption.find(), said);
        assertTrue(Long.parseLong(resumption.group(1)) < steps, said);
        assertTrue(
                Files.exists(run.resolve(
                        "checkpoints/step-%09d.safetensors".formatted(Long.parseLong(resumption.group(1))))),
                said);
        String[] command = words(resumption.group(2));
        assertTrue(List.of(command).containsAll(List.of("--device", "cpu", "--resume", run.toString())), said);
        start(command);
        assertEquals(0, exit(process()));
        assertTrue(Files.readString(output).contains("from step " + resumption.group(1)), Files.readString(output));
        assertEndsLike(uninterrupted(steps), steps);
    }

    /** Returns a line's words after parsing by a shell. */
    private static String[] words(String line) throws IOException, InterruptedException {
        Process shell = new ProcessBuilder("sh", "-c", "printf '%s\\n' " + line).start();
        String[] words = new String(shell.getInputStream().readAllBytes(), StandardCharsets.UTF_8).split("\n");
        assertEquals(0, shell.waitFor());
        return words;
    }

    @Test
    @Tag("soak")
    void killedTwentyTimes(TestReporter reporter) throws IOException, InterruptedException {
        int kills = 20;
        int steps = (kills + 2) * STEPS_PER_KILL;
        int torn = killed(kills, steps);
        train(steps, true);
        assertEquals(0, exit(process()), () -> "exit code");
        assertFalse(Files.readString(output).contains("damaged"), Files.readString(output));
        assertEndsLike(uninterrupted(steps), steps);
        reporter.publishEntry(Map.of(
                "kills",
                Integer.toString(kills),
                "steps",
                Integer.toString(steps),
                "kills that tore a file",
                Integer.toString(torn)));
    }
}
