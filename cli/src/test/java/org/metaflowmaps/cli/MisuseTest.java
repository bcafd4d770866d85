package org.metaflowmaps.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every public method, called with valid arguments and with each argument wrong, ends with a result or a documented
 * exception: no crash, no hang, no exception of a lower layer.
 *
 * <p>The cases come from reflection, see {@link MisuseCases}; a method whose valid call fails has no recipe in
 * {@link MisuseRecipes} and fails this test.
 */
@EnabledOnOs(value = OS.LINUX, disabledReason = "the limit on memory is that of Linux")
final class MisuseTest {
    /** Address space of a child in KiB, so that too large requests fail at once instead of filling the memory. */
    private static final long MEMORY = 9_500_000;

    private static final int MOST_CRASHES = 10;

    @TempDir
    private Path folder;

    @Test
    void everyPublicMethodRefusesWhatIsWrong(TestReporter reporter) throws IOException, InterruptedException {
        long cases = check(0, reporter);
        assertTrue(cases > 10_000, "only " + cases + " cases were found");
    }

    /** Each method of each closable type while another thread closes the object: a result or an exception. */
    @Test
    void closingWhileAnotherThreadCalls(TestReporter reporter) throws IOException, InterruptedException {
        long cases = check(3, reporter);
        assertTrue(cases > 100, "only " + cases + " cases were found");
    }

    @Test
    @Tag("soak")
    void closingOftenWhileAnotherThreadCalls(TestReporter reporter) throws IOException, InterruptedException {
        check(200, reporter);
    }

    private long check(int rounds, TestReporter reporter) throws IOException, InterruptedException {
        Path report = folder.resolve("report.txt");
        List<String> bad = new ArrayList<>();
        int next = 0;
        for (int crashes = 0; crashes <= MOST_CRASHES; crashes++) {
            int code = run(report, next, rounds);
            List<String> lines = Files.readAllLines(report);
            if (lines.getLast().equals("done")) {
                break;
            }
            if (lines.getLast().startsWith("more ")) {
                next = Integer.parseInt(lines.getLast().substring(5));
                crashes--;
                continue;
            }
            String last = lines.stream()
                    .filter(line -> line.startsWith("case "))
                    .reduce((first, second) -> second)
                    .orElseThrow(() -> new AssertionError("the child ended before its first case: " + output()));
            bad.add("the process " + (lines.getLast().equals("hangs") ? "hangs" : "ended with code " + code) + " in "
                    + last);
            next = Integer.parseInt(last.substring(5, last.indexOf(' ', 5))) + 1;
        }
        List<String> lines = Files.readAllLines(report);
        lines.stream().filter(line -> line.startsWith("bad ")).forEach(bad::add);
        long cases = lines.stream().filter(line -> line.startsWith("case ")).count();
        reporter.publishEntry(Map.of("cases", Long.toString(cases), "bad", Integer.toString(bad.size())));
        assertEquals(List.of(), bad, () -> bad.size() + " of " + cases + " cases:\n" + String.join("\n", bad));
        return cases;
    }

    private int run(Path report, int first, int rounds) throws IOException, InterruptedException {
        if (!Files.exists(report)) {
            Files.createFile(report);
        }
        Process child = new ProcessBuilder(List.of(
                        "sh",
                        "-c",
                        "ulimit -v " + MEMORY + "; exec \"$@\"",
                        "sh",
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "--sun-misc-unsafe-memory-access=allow",
                        "-XX:TieredStopAtLevel=1",
                        "-Xmx512m",
                        "-XX:CompressedClassSpaceSize=128m",
                        "-XX:ErrorFile=" + folder.resolve("crash.log"),
                        "-Djava.awt.headless=true",
                        "-Dorg.metaflowmaps.threads=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        MisuseChild.class.getName(),
                        Files.createDirectories(folder.resolve("from" + first + "-" + rounds))
                                .toString(),
                        report.toString(),
                        Integer.toString(first),
                        Integer.toString(rounds)))
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("output.txt").toFile())
                .start();
        try {
            assertTrue(child.waitFor(30, TimeUnit.MINUTES), "the child is still running after half an hour");
            return child.exitValue();
        } finally {
            child.destroyForcibly();
        }
    }

    private String output() {
        try {
            return Files.readString(folder.resolve("output.txt"));
        } catch (IOException e) {
            return e.toString();
        }
    }
}
