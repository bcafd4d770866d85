package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A driver in C prints what reaches it. */
class CudaDriverTest {
    @TempDir
    private Path folder;

    /** Loads and launches; in a separate process, because the driver's library is chosen once. */
    static final class Child {
        private Child() {}

        public static void main(String[] arguments) {
            long context = CudaDriver.primaryContext(1);
            CudaDriver.pushContext(context);
            long module = CudaDriver.load("image".getBytes(StandardCharsets.UTF_8));
            long function = CudaDriver.function(module, "kernel");
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment values = arena.allocate(ValueLayout.ADDRESS, 2);
                values.setAtIndex(ValueLayout.ADDRESS, 0, arena.allocateFrom(ValueLayout.JAVA_INT, 41));
                values.setAtIndex(ValueLayout.ADDRESS, 1, arena.allocateFrom(ValueLayout.JAVA_DOUBLE, 0.5));
                CudaDriver.launch(
                        function, new CudaDriver.Size(2, 3, 4), new CudaDriver.Size(5, 6, 7), 8, 0x9900000009L, values);
            }
            CudaDriver.popContext();
            CudaDriver.unload(module);
            try {
                CudaDriver.load("bad".getBytes(StandardCharsets.UTF_8));
            } catch (CudaException e) {
                System.out.println(e.getMessage());
            }
        }
    }

    @Test
    void argumentsReachTheDriverInItsOrder() throws IOException, InterruptedException {
        Path library = Substitute.compile("driver.c", folder);
        List<String> lines = Substitute.run(Substitute.java(Child.class, "cuda", library.toString()))
                .lines()
                .sorted()
                .toList();
        assertEquals(
                List.of(
                        "cuModuleLoadData: CUDA_ERROR_INVALID_PTX (218)",
                        "device 1",
                        "function 5500000001 kernel",
                        "init 0",
                        "launch 5500000002 grid 2 3 4 block 5 6 7 shared 8 stream 9900000009 arguments 41 0.5 extra 0",
                        "load bad",
                        "load image",
                        "pop",
                        "push 770000000b",
                        "retain 11",
                        "unload 5500000001"),
                lines);
    }
}
