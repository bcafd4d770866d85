package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * One thread closes objects that others use: they get right values or an {@link IllegalStateException}, never a crash.
 */
class ClosingRacesTest {
    private static final String[] CASES = {"tensor", "twice", "scope", "arena", "random", "file", "pytorch"};

    @TempDir
    Path folder;

    /** Runs a main class of these tests in a separate JVM; returns its output. */
    static String child(Path folder, Class<?> main, List<String> options, String... arguments)
            throws IOException, InterruptedException {
        Path output = folder.resolve("output.txt");
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-Xmx512m",
                "-XX:-CreateCoredumpOnCrash",
                "-Dorg.metaflowmaps.threads=1",
                "-XX:ErrorFile=" + folder.resolve("crash.txt"),
                "-Djava.io.tmpdir=" + folder,
                "-cp",
                System.getProperty("java.class.path")));
        command.addAll(options);
        command.add(main.getName());
        command.addAll(Arrays.asList(arguments));
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        try {
            assertTrue(process.waitFor(10, TimeUnit.MINUTES), "no end after 10 minutes: " + Files.readString(output));
        } finally {
            process.destroyForcibly();
        }
        String text = Files.readString(output);
        assertEquals(0, process.exitValue(), text);
        return text;
    }

    private void races(int rounds) throws Exception {
        List<String> arguments = new ArrayList<>(List.of(Integer.toString(rounds)));
        arguments.addAll(List.of(CASES));
        String text = child(folder, ClosingRaces.class, List.of(), arguments.toArray(new String[0]));
        for (String name : CASES) {
            assertTrue(text.contains("end " + name), text);
        }
        assertTrue(text.contains("tensors left 0"), text);
    }

    @Test
    void closingWhileOthersUseIt() throws Exception {
        races(40);
    }

    @Test
    @Tag("soak")
    void closingWhileOthersUseItForMinutes() throws Exception {
        races(20_000);
    }
}
