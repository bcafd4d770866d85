package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** NVIDIA's library calls a listener in C, which writes down what reaches it. */
class NvtxTest {
    @TempDir
    private Path folder;

    /** Opens and closes ranges; in a separate process, because NVTX reads the variable at its first use. */
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
        Path listener = Substitute.compile("listener.c", folder);
        Path log = folder.resolve("log");
        ProcessBuilder child = Substitute.java(Child.class, "nvtx3interop", library);
        child.environment().put("NVTX_INJECTION64_PATH", listener.toString());
        child.environment().put("NVTX_TEST_LOG", log.toString());
        assertEquals("true", Substitute.run(child));
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

    @Test
    void nothingHappensWithoutAProfiler() {
        assumeTrue(System.getenv("NVTX_INJECTION64_PATH") == null, "a profiler listens");
        Nvtx.push("step", 1);
        Nvtx.pop();
        assertFalse(Nvtx.isActive());
    }
}
