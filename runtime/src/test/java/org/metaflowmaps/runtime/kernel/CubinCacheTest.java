package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CubinCacheTest {
    private static final byte[] IMAGE = "machine code".getBytes(StandardCharsets.UTF_8);
    private static final KernelProgram PROGRAM = KernelProgram.of("gelu", Map.of("ELEMENT", "float"));

    @TempDir
    private Path folder;

    private final AtomicInteger compiled = new AtomicInteger();

    private byte[] get(CubinCache cache) {
        return cache.get(PROGRAM, "sm_90", program -> {
            compiled.incrementAndGet();
            return IMAGE.clone();
        });
    }

    @Test
    void aProgramIsCompiledOnceForAllProcesses() {
        // Two objects act as two processes.
        assertArrayEquals(IMAGE, get(new CubinCache(folder, "1")));
        assertArrayEquals(IMAGE, get(new CubinCache(folder, "1")));
        assertEquals(1, compiled.get());
    }

    @Test
    void everythingThatTheCodeDependsOnNamesTheFile() {
        Set<Path> files = new HashSet<>();
        KernelProgram other = KernelProgram.of("gelu", Map.of("ELEMENT", "bf16"));
        for (String versions : List.of("1", "2")) {
            CubinCache cache = new CubinCache(folder, versions);
            for (String architecture : List.of("sm_80", "sm_90")) {
                files.add(cache.file(PROGRAM, architecture));
                files.add(cache.file(other, architecture));
                files.add(cache.file(KernelProgram.of("adam", Map.of()), architecture));
            }
        }
        assertEquals(12, files.size());
    }

    @Test
    void damagedFilesAreCompiledAgain() throws IOException {
        CubinCache cache = new CubinCache(folder, "1");
        byte[] first = get(cache);
        Path file = cache.file(PROGRAM, "sm_90");
        byte[] bytes = Files.readAllBytes(file);
        for (int length : new int[] {0, 5, bytes.length - 1}) {
            Files.write(file, Arrays.copyOf(bytes, length));
            assertArrayEquals(first, get(cache));
        }
        bytes[3] ^= 1;
        Files.write(file, bytes);
        assertArrayEquals(first, get(cache));
        assertEquals(5, compiled.get());
        assertArrayEquals(first, get(cache));
        cache.forget(PROGRAM, "sm_90");
        assertFalse(Files.exists(file));
    }

    @Test
    void aFolderThatCannotBeWrittenOnlyCostsTime() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "");
        CubinCache cache = new CubinCache(file, "1");
        assertArrayEquals(IMAGE, get(cache));
        assertArrayEquals(IMAGE, get(cache));
        assertEquals(2, compiled.get());
    }

    @Test
    void processesThatCompileAtOnceLeaveOneFile() throws Exception {
        try (ExecutorService threads = Executors.newFixedThreadPool(8)) {
            List<Callable<byte[]>> tasks = new ArrayList<>();
            for (int i = 0; i < 32; i++) {
                tasks.add(() -> get(new CubinCache(folder, "1")));
            }
            for (Future<byte[]> result : threads.invokeAll(tasks)) {
                assertArrayEquals(IMAGE, result.get());
            }
        }
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(1, files.count());
        }
    }
}
