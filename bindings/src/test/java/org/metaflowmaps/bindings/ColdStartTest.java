package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Starts processes that load libtorch from a new cache folder. */
class ColdStartTest {
    @TempDir
    private Path folder;

    private final List<Process> started = new ArrayList<>();
    private int runs;

    /** Loads libtorch twice and prints the outcome. */
    static final class Child {
        private Child() {}

        public static void main(String[] arguments) {
            for (int i = 0; i < 2; i++) {
                try {
                    System.out.println("loaded " + Libtorch.info().version());
                } catch (NativeLibraryException e) {
                    System.out.println("refused: " + e.getMessage());
                }
            }
        }
    }

    @AfterEach
    void kill() {
        started.forEach(Process::destroyForcibly);
    }

    private Process start(Path cache) throws IOException {
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "--sun-misc-unsafe-memory-access=allow",
                        "-Xmx256m",
                        "-XX:ErrorFile=/dev/null",
                        "-XX:-CreateCoredumpOnCrash",
                        "-Dorg.metaflowmaps.threads=1",
                        "-Dorg.metaflowmaps.cache=" + cache,
                        "-cp",
                        System.getProperty("java.class.path"),
                        Child.class.getName())
                .redirectErrorStream(true)
                .redirectOutput(output(runs++).toFile())
                .start();
        started.add(child);
        return child;
    }

    private Path output(int run) {
        return folder.resolve("output-" + run);
    }

    private String finish(Process child, int run) throws IOException, InterruptedException {
        assertTrue(child.waitFor(5, TimeUnit.MINUTES));
        String text = Files.readString(output(run));
        assertEquals(0, child.exitValue(), text);
        return text;
    }

    private void assertLoads(Path cache) throws IOException, InterruptedException {
        int run = runs;
        String text = finish(start(cache), run);
        assertTrue(text.contains("loaded 2.13.0"), text);
    }

    private static long bytes(Path folder) throws IOException {
        try (Stream<Path> files = Files.exists(folder) ? Files.walk(folder) : Stream.empty()) {
            return files.mapToLong(
                            file -> file.toFile().isFile() ? file.toFile().length() : 0)
                    .sum();
        } catch (UncheckedIOException e) {
            // The unpacking process renamed or deleted a file meanwhile: count again.
            return bytes(folder);
        }
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted((one, two) -> two.compareTo(one)).toList()) {
                Files.delete(file);
            }
        }
    }

    @Test
    @Tag("soak")
    void twoAtOnceTenTimes() throws IOException, InterruptedException {
        for (int i = 0; i < 10; i++) {
            Path cache = folder.resolve("cache");
            int run = runs;
            Process one = start(cache);
            Process two = start(cache);
            assertTrue(finish(one, run).contains("loaded 2.13.0"));
            assertTrue(finish(two, run + 1).contains("loaded 2.13.0"));
            delete(cache);
        }
    }

    @Test
    @Tag("soak")
    void killedWhileUnpacking() throws IOException, InterruptedException {
        for (long megabytes : new long[] {1, 30, 80, 200, 420}) {
            Path cache = folder.resolve("cache");
            Process child = start(cache);
            while (bytes(cache) < megabytes << 20 && child.isAlive()) {
                Thread.sleep(2);
            }
            child.destroyForcibly().waitFor();
            assertLoads(cache);
            assertLoads(cache);
            delete(cache);
        }
    }

    @Test
    void aDiskWithoutRoomIsNamedEachTime() throws IOException, InterruptedException {
        Path disk = mounted("size=40m");
        try {
            int run = runs;
            String text = finish(start(disk), run);
            assertEquals(
                    2,
                    text.lines()
                            .filter(line -> line.startsWith("refused: ")
                                    && line.contains("no space left in the cache folder " + disk))
                            .count(),
                    text);
        } finally {
            unmount(disk);
        }
    }

    @Test
    @Tag("soak")
    void aDiskWithoutProgramsIsNamedEachTime() throws IOException, InterruptedException {
        Path disk = mounted("size=600m,noexec");
        try {
            int run = runs;
            String text = finish(start(disk), run);
            assertEquals(
                    2,
                    text.lines()
                            .filter(line -> line.startsWith("refused: ") && line.contains("mounted noexec"))
                            .count(),
                    text);
        } finally {
            unmount(disk);
        }
    }

    private Path mounted(String options) throws IOException, InterruptedException {
        Path disk = Files.createDirectory(folder.resolve("disk"));
        assumeTrue(
                Files.isExecutable(Path.of("/bin/mount"))
                        && run("mount", "-t", "tmpfs", "-o", options, "tmpfs", disk.toString()) == 0,
                "this user may not mount a small disk");
        return disk.toRealPath();
    }

    private static void unmount(Path disk) throws IOException, InterruptedException {
        assertEquals(0, run("umount", disk.toString()));
    }

    private static int run(String... command) throws IOException, InterruptedException {
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start()
                .waitFor();
    }
}
