package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** NVIDIA's library calls a listener in C, which writes down what reaches it. */
class NvtxTest {
    @TempDir
    private Path folder;

    /** Opens and closes ranges; a process of its own, because NVTX reads the variable at its first use. */
    static final class Child {
        private Child() {}

        public static void main(String[] arguments) {
            Nvtx.push("step", 41);
            Nvtx.push("data");
            Nvtx.pop();
            Nvtx.push("data");
            Nvtx.pop();
            Nvtx.pop();
            System.out.println(Nvtx.isActive());
        }
    }

    @Test
    void rangesReachTheProfiler() throws IOException, InterruptedException {
        assumeTrue(
                Nvtx.availability() instanceof Availability.Found,
                () -> Nvtx.availability().toString());
        String library = ((Availability.Found) Nvtx.availability()).location();
        Path listener = listener();
        Path log = folder.resolve("log");
        ProcessBuilder child = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-Xmx128m",
                "-Dorg.metaflowmaps.library.nvtx3interop=" + library,
                "-cp",
                System.getProperty("java.class.path"),
                Child.class.getName());
        child.environment().put("NVTX_INJECTION64_PATH", listener.toString());
        child.environment().put("NVTX_TEST_LOG", log.toString());
        assertEquals("true", run(child));
        String data = "push MetaFlowMaps version 3 size 48 type 3 name data";
        assertEquals(
                List.of(
                        "domain MetaFlowMaps",
                        "register step",
                        "push MetaFlowMaps version 3 size 48 type 3 name step number 41",
                        "register data",
                        data,
                        "pop MetaFlowMaps",
                        data,
                        "pop MetaFlowMaps",
                        "pop MetaFlowMaps"),
                Files.readAllLines(log));
    }

    private Path listener() throws IOException, InterruptedException {
        Path source = folder.resolve("listener.c");
        try (InputStream stream = Objects.requireNonNull(NvtxTest.class.getResourceAsStream("listener.c"))) {
            Files.copy(stream, source);
        }
        Path library = folder.resolve("liblistener.so");
        ProcessBuilder compiler =
                new ProcessBuilder("gcc", "-shared", "-fPIC", "-w", source.toString(), "-o", library.toString());
        try {
            run(compiler);
        } catch (IOException e) {
            assumeTrue(false, "no C compiler: " + e.getMessage());
        }
        return library;
    }

    /** Runs a process and returns what it printed, without the newline at the end. */
    private static String run(ProcessBuilder builder) throws IOException, InterruptedException {
        Process process = builder.redirectErrorStream(true).start();
        String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        assertTrue(process.waitFor(1, TimeUnit.MINUTES));
        assertEquals(0, process.exitValue(), text);
        return text;
    }

    @Test
    void nothingHappensWithoutAProfiler() {
        assumeTrue(System.getenv("NVTX_INJECTION64_PATH") == null, "a profiler listens");
        Nvtx.push("step", 1);
        Nvtx.pop();
        assertFalse(Nvtx.isActive());
    }
}
