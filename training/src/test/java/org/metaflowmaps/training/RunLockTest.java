package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunLockTest {
    @TempDir
    private Path folder;

    /** Takes the lock, prints a line, and waits to be killed. */
    static final class Holder {
        private Holder() {}

        public static void main(String[] arguments) throws IOException, InterruptedException {
            try (RunLock lock = RunLock.take(Path.of(arguments[0]))) {
                System.out.println("taken");
                Thread.sleep(TimeUnit.MINUTES.toMillis(2));
            }
        }
    }

    private String refusal() {
        return String.valueOf(
                assertThrows(IOException.class, () -> RunLock.take(folder)).getMessage());
    }

    @Test
    void oneAtATimeInOneProcess() throws IOException {
        try (RunLock lock = RunLock.take(folder)) {
            assertTrue(refusal().contains("another run of this process writes to " + folder), refusal());
            assertTrue(
                    Files.readString(folder.resolve(RunLock.NAME)).matches("process \\d+ on \\S+ since \\d{4}-\\S+Z"));
        }
        assertEquals(0, Files.size(folder.resolve(RunLock.NAME)));
        RunLock.take(folder).close();
    }

    @Test
    void anotherProcessIsNamedAndBlocksNobodyOnceKilled() throws IOException, InterruptedException {
        Process holder = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        Holder.class.getName(),
                        folder.toString())
                .redirectErrorStream(true)
                .start();
        try {
            assertEquals(
                    "taken",
                    holder.inputReader()
                            .lines()
                            .filter(line -> line.equals("taken"))
                            .findFirst()
                            .orElse(""));
            for (int i = 0; i < 2; i++) {
                assertTrue(
                        refusal()
                                .matches("another run writes to .* \\(process " + holder.pid()
                                        + " on \\S+ since \\d{4}-\\S+Z\\): .*--out"),
                        refusal());
            }
        } finally {
            holder.destroyForcibly().waitFor();
        }
        assertTrue(Files.exists(folder.resolve(RunLock.NAME)));
        RunLock.take(folder).close();
    }

    @Test
    void withoutLocksTheWarningNamesTheCure() {
        String warning = RunLock.unlocked(folder.resolve(RunLock.NAME), new IOException("No locks available"));
        assertTrue(
                warning.startsWith(
                                "warning: " + folder.resolve(RunLock.NAME) + " cannot be locked (No locks available)")
                        && warning.contains("--out"),
                warning);
    }

    @Test
    void aFolderThatWasDeletedIsClosedQuietly() throws IOException {
        Path run = folder.resolve("run");
        RunLock lock = RunLock.take(run);
        Files.delete(run.resolve(RunLock.NAME));
        Files.delete(run);
        lock.close();
        assertFalse(Files.exists(run));
    }
}
