package org.metaflowmaps.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.metaflowmaps.cli.Command.files;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Behaviour on a disk of 64 KiB. */
final class FullDiskTest {
    @TempDir
    private Path folder;

    private Path disk = Path.of("");
    private boolean mounted;

    @BeforeEach
    void mount() throws IOException, InterruptedException {
        disk = Files.createDirectory(folder.resolve("disk"));
        mounted = Files.isExecutable(Path.of("/bin/mount"))
                && run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk.toString()) == 0;
        assumeTrue(mounted, "this user may not mount a small disk");
    }

    @AfterEach
    void unmount() throws IOException, InterruptedException {
        if (mounted) {
            assertEquals(0, run("umount", disk.toString()));
        }
    }

    private static int run(String... command) throws IOException, InterruptedException {
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start()
                .waitFor();
    }

    @Test
    void aResultThatDoesNotFitLeavesNothing() throws IOException {
        Path run = folder.resolve("run");
        tiny("train", "quickstart", "--device", "cpu", "--out", run.toString()).succeeded();
        mfm(
                        "sample",
                        run.resolve("checkpoint.safetensors").toString(),
                        "--device",
                        "cpu",
                        "--steps",
                        "1",
                        "--count",
                        "40",
                        "--out",
                        disk.resolve("samples.safetensors").toString())
                .failed("cannot write", "no space left", "bytes needed", "delete something there");
        assertEquals(List.of(), files(disk));
    }

    @Test
    void aRunWhoseCheckpointDoesNotFitSaysSo() throws IOException {
        tiny("train", "quickstart", "--device", "cpu", "--out", disk.toString())
                .failed("cannot write", "step-000000002.safetensors", "no space left");
        List<String> left = files(disk);
        assertTrue(left.containsAll(List.of("config.yaml", "metrics.jsonl")), left.toString());
        assertFalse(left.stream().anyMatch(name -> name.contains("checkpoint")), left.toString());
    }

    @Test
    void aRunWhoseMetricsDoNotFitSaysSo() throws IOException {
        // Leaves a few hundred bytes for the log.
        Files.write(disk.resolve("ballast"), new byte[40 << 10]);
        mfm(
                        "train",
                        "mixture/meta-flow-map",
                        "--device",
                        "cpu",
                        "--out",
                        disk.toString(),
                        "steps=2000",
                        "log_every=1",
                        "checkpoint_every=2000",
                        "batch=2",
                        "model.mlp.width=2",
                        "model.mlp.depth=1")
                .failed("cannot write", "checkpoint", "--resume", "o space left");
    }

    @Test
    void aRunWhoseFolderIsDeletedSavesWhatItHas() throws IOException, InterruptedException {
        Path run = folder.resolve("gone");
        Thread deletes = Thread.ofPlatform().start(() -> {
            try {
                while (!Files.exists(run.resolve("metrics.jsonl")) || Files.size(run.resolve("metrics.jsonl")) == 0) {
                    Thread.sleep(1);
                }
                Files.move(run, folder.resolve("moved"));
            } catch (IOException | InterruptedException e) {
                throw new AssertionError(e);
            }
        });
        mfm(
                        "train",
                        "mixture/meta-flow-map",
                        "--device",
                        "cpu",
                        "--out",
                        run.toString(),
                        "steps=20000",
                        "log_every=1",
                        "checkpoint_every=20000",
                        "batch=2",
                        "model.mlp.width=2",
                        "model.mlp.depth=1")
                .failed("metrics.jsonl", "deleted or moved", "checkpoint.safetensors", "--resume");
        deletes.join();
        assertTrue(Files.exists(run.resolve("checkpoint.safetensors")));
    }
}
