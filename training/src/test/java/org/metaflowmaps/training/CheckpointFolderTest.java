package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.metrics.MetricsLog;

/** Which checkpoints are kept in a run's folder, and from which one a run continues. */
final class CheckpointFolderTest {
    @TempDir
    private Path folder;

    private final Runs runs = new Runs();
    private final long live = NativeMemory.liveTensors();

    @BeforeEach
    void everyStep() {
        runs.steps = 6;
        runs.checkpointEvery = 1;
    }

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private Path step(int step) {
        return folder.resolve("checkpoints/step-00000000" + step + ".safetensors");
    }

    private Path newest() {
        return folder.resolve(CheckpointFolder.CHECKPOINT);
    }

    private List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(folder.resolve("checkpoints"))) {
            return files.map(file -> file.getFileName()
                            .toString()
                            .replace("step-00000000", "")
                            .replace(".safetensors", ""))
                    .sorted()
                    .toList();
        }
    }

    private void run() throws IOException {
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.run();
        }
    }

    /** Resumes and runs to the end; returns the step from which it continued. */
    private long resumed() throws IOException {
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.resume();
            long from = trainer.step();
            trainer.run();
            return from;
        }
    }

    private static void damage(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        bytes[bytes.length / 2] ^= 1;
        // The file is replaced, not changed: its other name keeps the old content.
        Files.delete(file);
        Files.write(file, bytes);
    }

    @Test
    void theLastOnesStay() throws IOException {
        runs.checkpointKeep = 3;
        run();
        assertEquals(List.of("4", "5", "6"), names());
        assertTrue(Files.isSameFile(step(6), newest()));
    }

    @Test
    void someStayForGood() throws IOException {
        runs.checkpointKeep = 1;
        runs.checkpointKeepEvery = 4;
        run();
        assertEquals(List.of("4", "6"), names());
    }

    @Test
    void aDamagedOneGivesWayToTheOneBefore() throws IOException {
        run();
        byte[] end = Files.readAllBytes(newest());
        Files.delete(newest());
        damage(step(6));
        Files.createLink(newest(), step(6));
        assertEquals(5, resumed());
        assertArrayEquals(end, Files.readAllBytes(newest()), "the last step was taken again, with the same result");
        assertEquals(List.of("5", "6"), names());
        assertEquals(
                List.of(1L, 2L, 3L, 4L, 5L, 6L),
                MetricsLog.read(folder.resolve(TrainingRun.METRICS)).stream()
                        .map(MetricsLog.Entry::step)
                        .toList());
    }

    @Test
    void theOneThatIsGoneOnFromIsTheNewest() throws IOException {
        run();
        damage(step(6));
        Files.delete(newest());
        Files.createLink(newest(), step(6));
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.resume();
        }
        assertTrue(Files.isSameFile(step(5), newest()));
        Networks.load(newest(), Device.CPU).close();
    }

    @Test
    void aDamagedOneIsNotCountedAmongThoseThatStay() throws IOException {
        runs.steps = 5;
        run();
        damage(step(5));
        // As if the newest came from a stop in between.
        Files.delete(newest());
        runs.steps = 7;
        runs.checkpointEvery = 7;
        runs.checkpointKeep = 2;
        assertEquals(4, resumed());
        assertEquals(List.of("4", "7"), names());
    }

    @Test
    void whereNoLinksAreTheCopyServes() throws IOException {
        run();
        byte[] end = Files.readAllBytes(newest());
        damage(step(6));
        assertEquals(6, resumed());
        assertArrayEquals(end, Files.readAllBytes(newest()));
    }

    @Test
    void ifAllAreDamagedAllAreNamed() throws IOException {
        run();
        Files.delete(newest());
        Files.write(step(5), new byte[0]);
        Files.write(step(6), Arrays.copyOf(Files.readAllBytes(step(6)), 5000));
        assertRefused(
                IOException.class,
                this::resumed,
                "no checkpoint in " + folder,
                step(5).toString(),
                step(6).toString(),
                "the file is empty",
                "truncated",
                "another folder");
        assertEquals(List.of("5", "6"), names());
    }

    /** A wrong configuration is not damage: no older checkpoint is used instead. */
    @Test
    void oneOfAnotherRunIsRefused() throws IOException {
        run();
        runs.seed = 9;
        assertRefused(
                IOException.class,
                this::resumed,
                step(6).toString(),
                "another run",
                "seed is 9, was 5",
                "choose another output folder");
        runs.seed = 5;
        runs.learningRate = 1e-4;
        runs.steps = 7;
        assertEquals(6, resumed());
    }

    @Test
    void whatKilledRunsLeftIsCleanedUp() throws IOException, InterruptedException {
        run();
        Process dead = new ProcessBuilder("true").start();
        dead.waitFor();
        Path torn = Files.write(
                folder.resolve("checkpoints/.step-000000007.safetensors." + dead.pid() + "-8.tmp"), new byte[9]);
        Path half = Files.write(folder.resolve(".metrics.jsonl." + dead.pid() + "-1.tmp"), new byte[9]);
        resumed();
        assertFalse(Files.exists(torn) || Files.exists(half));
    }

    /** A file of version 0.1: without a checksum, the run's settings, and counts other than the step. */
    @Test
    void aCheckpointOfTheFirstVersionGoesOn() throws IOException {
        run();
        byte[] end = Files.readAllBytes(newest());
        runs.steps = 4;
        Path old = folder.resolve("old");
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, old)) {
            trainer.run();
        }
        Path file = old.resolve(CheckpointFolder.CHECKPOINT);
        try (SafetensorsFile open = SafetensorsFile.open(file);
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            open.entries().keySet().forEach(name -> tensors.put(name, Safetensors.view(open, name)));
            Map<String, String> metadata = new LinkedHashMap<>(open.metadata());
            metadata.keySet().retainAll(List.of("network", "step"));
            Safetensors.write(file, metadata, tensors);
        }
        for (int step = 1; step <= 4; step++) {
            Files.deleteIfExists(old.resolve("checkpoints/step-00000000" + step + ".safetensors"));
        }
        runs.steps = 6;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, old)) {
            trainer.resume();
            assertEquals(4, trainer.step());
            trainer.run();
        }
        assertArrayEquals(end, Files.readAllBytes(file));
    }

    @Test
    void aFolderIsClearedOfCheckpointsOnly() throws IOException {
        CheckpointFolder checkpoints = new CheckpointFolder(folder);
        assertTrue(checkpoints.isEmpty());
        run();
        Path mine = Files.writeString(folder.resolve("checkpoints/notes.txt"), "mine");
        Files.delete(newest());
        assertFalse(checkpoints.isEmpty(), "the newest may lack its second name after a kill");
        checkpoints.clear();
        assertTrue(checkpoints.isEmpty() && Files.exists(mine) && Files.exists(folder.resolve(TrainingRun.METRICS)));
    }
}
