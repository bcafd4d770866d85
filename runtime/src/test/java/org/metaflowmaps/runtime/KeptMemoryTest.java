package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.bindings.FreedMemory;

/** Freed memory stays with the process until the last user closes. */
final class KeptMemoryTest {
    private static final Path STATUS = Path.of("/proc/self/status");
    /** Above 32 MiB, glibc's default maximum for memory that it keeps. */
    private static final int MIB_EACH = 48;

    private static final int TENSORS = 3;

    @Test
    void freedMemoryIsKeptUntilTheLastClose() throws IOException {
        assumeTrue(Files.isReadable(STATUS) && FreedMemory.isManaged(), "no glibc with its default settings here");
        useAndFree();
        double before = resident();
        try (KeptMemory first = KeptMemory.open()) {
            KeptMemory second = KeptMemory.open();
            second.close();
            second.close();
            useAndFree();
            double kept = resident() - before;
            assertTrue(kept > MIB_EACH * (TENSORS - 1), kept + " MiB kept");
        }
        double left = resident() - before;
        assertTrue(left < MIB_EACH, left + " MiB left");
        useAndFree();
        left = resident() - before;
        assertTrue(left < MIB_EACH, left + " MiB left");
    }

    private static void useAndFree() {
        try (TensorScope scope = TensorScope.open()) {
            for (int i = 0; i < TENSORS; i++) {
                Torch.zeros(DType.FLOAT32, Device.CPU, MIB_EACH << 18).add_(1);
            }
        }
    }

    /** MiB of the process that are in memory. */
    private static double resident() throws IOException {
        return Files.readAllLines(STATUS).stream()
                        .filter(line -> line.startsWith("VmRSS:"))
                        .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                        .findFirst()
                        .orElseThrow()
                / 1024.0;
    }
}
