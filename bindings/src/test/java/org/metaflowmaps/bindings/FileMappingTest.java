package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileMappingTest {
    @TempDir
    Path folder;

    @BeforeEach
    void isAvailable() {
        assumeTrue(FileMapping.isAvailable(), "made on Linux and macOS only");
    }

    @Test
    void aReadOnlyFileIsSeenAndNeverChanged() throws IOException {
        Path path = folder.resolve("a file.bin");
        byte[] content = new byte[3 * 4096 + 17];
        new Random(1).nextBytes(content);
        Files.write(path, content);
        assertTrue(path.toFile().setReadOnly());
        MemorySegment mapping;
        try (Arena arena = Arena.ofShared()) {
            mapping = FileMapping.copyOnWrite(path, arena);
            assertArrayEquals(content, mapping.toArray(JAVA_BYTE));
            mapping.fill((byte) 0x55);
            assertEquals((byte) 0x55, mapping.get(JAVA_BYTE, content.length - 1L));
            assertArrayEquals(content, Files.readAllBytes(path));
        }
        assertArrayEquals(content, Files.readAllBytes(path));
        assertThrows(IllegalStateException.class, () -> mapping.get(JAVA_BYTE, 0));
    }

    @Test
    void whatCannotBeMappedIsRefused() throws IOException {
        Path empty = Files.createFile(folder.resolve("empty"));
        try (Arena arena = Arena.ofShared()) {
            assertThrows(IOException.class, () -> FileMapping.copyOnWrite(folder.resolve("absent"), arena));
            assertThrows(IOException.class, () -> FileMapping.copyOnWrite(empty, arena));
        }
    }
}
