package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Command;

/** An encoding in a separate process that is killed and started again ends as if it had never stopped. */
final class EncodeKillTest {
    private static final int IMAGES = 240;
    private static final int SHARD = 4;

    /** The status of a killed process. */
    private static final int KILLED = OS.WINDOWS.isCurrentOs() ? 1 : 128 + 9;

    @TempDir
    private Path folder = Path.of("");

    private final List<Process> children = new ArrayList<>();

    @AfterEach
    void end() throws InterruptedException {
        for (Process child : children) {
            child.destroyForcibly().waitFor();
        }
    }

    private void write() throws IOException {
        Random random = new Random(3);
        for (int i = 0; i < IMAGES; i++) {
            BufferedImage image = new BufferedImage(72, 66, BufferedImage.TYPE_INT_RGB);
            for (int at = 0; at < 72 * 66; at++) {
                image.setRGB(at % 72, at / 72, random.nextInt());
            }
            Path file = folder.resolve("images").resolve("class" + i % 3).resolve(i + ".png");
            Files.createDirectories(file.getParent());
            ImageIO.write(image, "png", file.toFile());
        }
        for (String name : List.of("vae-compvis.safetensors", "vae-config.json")) {
            try (InputStream in = EncodeKillTest.class.getResourceAsStream("/vision/" + name)) {
                Path to = folder.resolve(name.startsWith("vae-config") ? "config.json" : name);
                Files.write(to, Objects.requireNonNull(in, name).readAllBytes());
            }
        }
    }

    private List<String> words(String latents) {
        return List.of(
                "data",
                "encode",
                folder.resolve("images").toString(),
                folder.resolve(latents).toString(),
                "--vae",
                folder.resolve("vae-compvis.safetensors").toString(),
                "--device=cpu",
                "--size=64",
                "--batch=4",
                "--shard=" + SHARD,
                "--store=sample");
    }

    private Process child(String latents) throws IOException {
        Process child = Command.start(folder.resolve("output"), words(latents));
        children.add(child);
        return child;
    }

    private long shards(String latents) throws IOException {
        Path path = folder.resolve(latents);
        return Files.isDirectory(path)
                ? Command.files(path).stream()
                        .filter(name -> name.endsWith(".safetensors"))
                        .count()
                : 0;
    }

    /** In a process too, because results may depend on settings of the JVM by a rounding. */
    private void complete(String latents) throws IOException, InterruptedException {
        Process child = child(latents);
        assertTrue(child.waitFor(2, TimeUnit.MINUTES), "the process is still running after two minutes");
        assertEquals(0, child.exitValue(), this::output);
    }

    @Test
    void aKilledEncodingEndsWithoutGapOrDouble() throws IOException, InterruptedException {
        write();
        complete("whole");
        Random random = new Random(5);
        int killed = 0;
        for (int round = 0; round < 3; round++) {
            long before = shards("killed");
            Process child = child("killed");
            long deadline = System.nanoTime() + TimeUnit.MINUTES.toNanos(2);
            while (child.isAlive() && shards("killed") < before + 2 && System.nanoTime() < deadline) {
                TimeUnit.MILLISECONDS.sleep(1);
            }
            TimeUnit.MICROSECONDS.sleep(random.nextInt(5_000));
            child.destroyForcibly();
            assertTrue(child.waitFor(2, TimeUnit.MINUTES), "the process is still running after two minutes");
            killed += child.exitValue() == KILLED ? 1 : 0;
        }
        assertTrue(killed > 0, () -> "no encoding was killed in time: " + output());
        assertTrue(shards("killed") < shards("whole"), "nothing was left to do");
        complete("killed");
        List<String> files = Command.files(folder.resolve("whole"));
        assertEquals(files, Command.files(folder.resolve("killed")));
        for (String name : files) {
            assertArrayEquals(
                    Files.readAllBytes(folder.resolve("whole").resolve(name)),
                    Files.readAllBytes(folder.resolve("killed").resolve(name)),
                    name);
        }
    }

    private String output() {
        try {
            return Files.readString(folder.resolve("output"));
        } catch (IOException e) {
            return e.toString();
        }
    }
}
