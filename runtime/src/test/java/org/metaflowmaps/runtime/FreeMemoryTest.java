package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FreeMemoryTest {
    @TempDir
    private Path root = Path.of("");

    private Path proc = Path.of("");
    private Path groups = Path.of("");

    @BeforeEach
    void aMachine() throws IOException {
        proc = root.resolve("proc");
        groups = root.resolve("groups");
        Files.createDirectories(proc.resolve("self"));
        Files.createDirectories(groups.resolve("a/b"));
        Files.writeString(proc.resolve("meminfo"), "MemTotal: 9000 kB\nMemAvailable:    5000 kB\nSwapFree:  100 kB\n");
        Files.writeString(proc.resolve("self/cgroup"), "0::/a/b\n");
    }

    @Test
    void withoutALimitItIsWhatTheKernelCallsAvailableAndSwap() throws IOException {
        assertEquals(5100 * 1024, FreeMemory.bytes(proc, groups));
        Files.writeString(groups.resolve("a/b/memory.max"), "max\n");
        Files.writeString(groups.resolve("a/b/memory.current"), "77\n");
        assertEquals(5100 * 1024, FreeMemory.bytes(proc, groups));
    }

    @Test
    void theTightestLimitOfTheGroupsAroundCounts() throws IOException {
        Files.writeString(groups.resolve("a/memory.max"), "1000000\n");
        Files.writeString(groups.resolve("a/memory.current"), "700000\n");
        Files.writeString(groups.resolve("a/memory.stat"), "anon 5\ninactive_file 50000\n");
        assertEquals(350000, FreeMemory.bytes(proc, groups));
        Files.writeString(groups.resolve("a/b/memory.max"), "1000\n");
        Files.writeString(groups.resolve("a/b/memory.current"), "1200\n");
        assertEquals(0, FreeMemory.bytes(proc, groups));
    }

    @Test
    void theFirstVersionOfControlGroups() throws IOException {
        Files.writeString(proc.resolve("self/cgroup"), "4:cpu,memory:/a\n2:pids:/\n");
        Path memory = Files.createDirectories(groups.resolve("memory"));
        Files.writeString(memory.resolve("memory.limit_in_bytes"), "4096\n");
        Files.writeString(memory.resolve("memory.usage_in_bytes"), "96\n");
        assertEquals(4000, FreeMemory.bytes(proc, groups));
    }

    @Test
    void aRequestIsRefusedWithFiguresAndOneThatFitsPasses() {
        FreeMemory.require("this", 1 << 20, "nothing");
        IllegalArgumentException refused = assertThrows(
                IllegalArgumentException.class, () -> FreeMemory.require("batch 7", Long.MAX_VALUE / 2, "lower batch"));
        assertTrue(
                String.valueOf(refused.getMessage())
                        .matches("batch 7 needs 4\\.0 EiB of memory, .* [KMGT]iB are free: lower batch"),
                refused.getMessage());
        assertThrows(IllegalArgumentException.class, () -> FreeMemory.require("this", -1, ""));
        assertEquals("1.5 GiB", FreeMemory.text(3L << 29));
    }
}
