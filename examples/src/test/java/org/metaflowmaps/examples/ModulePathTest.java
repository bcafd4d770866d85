package org.metaflowmaps.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The examples run on the module path, where only the documented modules may call native code. */
final class ModulePathTest {
    private static final String NATIVE_ACCESS =
            "org.bytedeco.javacpp,org.bytedeco.openblas,org.bytedeco.pytorch,org.metaflowmaps.bindings,org.metaflowmaps.runtime";
    private static final Path ROOT = Path.of("..");
    private static final String PRETRAINED =
            "cli/src/main/resources/org/metaflowmaps/cli/pretrained/fashion-mnist.safetensors";

    /** Prefixes of what only tests see. */
    private static final List<String> TEST_LIBRARIES = List.of("junit-", "opentest4j", "apiguardian-api", "surefire-");

    @TempDir
    private Path folder;

    private static String modulePath() {
        return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(entry -> {
                    String name = Path.of(entry).getFileName().toString();
                    return !name.equals("test-classes")
                            && TEST_LIBRARIES.stream().noneMatch(name::startsWith);
                })
                .collect(Collectors.joining(File.pathSeparator));
    }

    private String run(Class<?> example, String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--module-path",
                modulePath(),
                "--add-modules",
                "ALL-MODULE-PATH",
                "--enable-native-access=" + NATIVE_ACCESS,
                "--illegal-native-access=deny",
                "-XX:TieredStopAtLevel=1",
                "-Xmx256m",
                "-Dorg.metaflowmaps.threads=1",
                "--module",
                "org.metaflowmaps.examples/" + example.getName()));
        command.addAll(List.of(arguments));
        Path output = folder.resolve("output");
        Path errors = folder.resolve("errors");
        Process child = new ProcessBuilder(command)
                .redirectOutput(output.toFile())
                .redirectError(errors.toFile())
                .start();
        try {
            assertTrue(child.waitFor(3, TimeUnit.MINUTES), "the example hangs");
        } finally {
            child.destroyForcibly();
        }
        String said = Files.readString(errors);
        assertEquals(0, child.exitValue(), said);
        assertFalse(said.contains("WARNING"), said);
        return Files.readString(output).strip();
    }

    @Test
    void loadAndSample() throws IOException, InterruptedException {
        double pixel = Double.parseDouble(
                run(LoadAndSample.class, ROOT.resolve(PRETRAINED).toString()));
        assertTrue(Math.abs(pixel) < 2, "pixel " + pixel);
    }

    /** Reads a configuration, which Jackson does by reflection, and writes a checkpoint. */
    @Test
    void ownData() throws IOException, InterruptedException {
        Path results = folder.resolve("run");
        run(OwnData.class, results.toString(), "steps=2", "batch=8");
        assertTrue(Files.exists(results.resolve("checkpoint.safetensors")));
    }

    @Test
    void theReadmeAndTheLauncherNameTheSameModules() throws IOException {
        for (String file : List.of("README.md", "mfm")) {
            assertTrue(Files.readString(ROOT.resolve(file)).contains(NATIVE_ACCESS), file);
        }
    }
}
