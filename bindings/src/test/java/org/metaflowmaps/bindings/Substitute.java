package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;

/** Libraries in C that replace NVIDIA's in tests, and processes that use them. */
final class Substitute {
    private Substitute() {}

    /** Compiles a file beside the tests to a shared library; skips the test if there is no C compiler. */
    static Path compile(String file, Path folder) throws IOException, InterruptedException {
        Path source = folder.resolve(file);
        try (InputStream stream = Objects.requireNonNull(Substitute.class.getResourceAsStream(file))) {
            Files.copy(stream, source);
        }
        Path library = folder.resolve("lib" + file.replace(".c", ".so"));
        ProcessBuilder compiler =
                new ProcessBuilder("gcc", "-shared", "-fPIC", "-w", source.toString(), "-o", library.toString());
        try {
            run(compiler);
        } catch (IOException e) {
            assumeTrue(false, "no C compiler: " + e.getMessage());
        }
        return library;
    }

    /** Prepares a process that runs a class of the tests with a library. */
    static ProcessBuilder java(Class<?> main, String stem, String library) {
        return new ProcessBuilder(new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-Xmx128m",
                "-Dorg.metaflowmaps.library." + stem + "=" + library,
                "-cp",
                System.getProperty("java.class.path"),
                main.getName())));
    }

    /** Runs a process and returns what it printed, without the newline at the end. */
    static String run(ProcessBuilder builder) throws IOException, InterruptedException {
        Process process = builder.redirectErrorStream(true).start();
        String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        assertTrue(process.waitFor(1, TimeUnit.MINUTES));
        assertEquals(0, process.exitValue(), text);
        return text;
    }
}
