package org.metaflowmaps.runtime.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A file of lines that stopped work continues. */
final class LineFileTest {
    @TempDir
    private Path folder;

    private Path file = Path.of("");

    @BeforeEach
    void choose() {
        file = folder.resolve("new/lines.jsonl");
    }

    private static LineFile open(Path file) throws IOException {
        return LineFile.open(file).orElseThrow();
    }

    @Test
    void aPrefixOfAnyLengthContinuesAfterItsWholeLines() throws IOException {
        try (LineFile lines = open(file)) {
            assertEquals(List.of(), lines.lines());
            lines.add("first");
            lines.add("");
            lines.add("third ä");
        }
        byte[] whole = Files.readAllBytes(file);
        for (int length = 0; length <= whole.length; length++) {
            byte[] part = Arrays.copyOf(whole, length);
            Files.write(file, part);
            try (LineFile lines = open(file)) {
                int finished = length < 6 ? 0 : length < 7 ? 1 : length < whole.length ? 2 : 3;
                assertEquals(List.of("first", "", "third ä").subList(0, finished), lines.lines(), "length " + length);
                assertArrayEquals(part, Files.readAllBytes(file));
                lines.add("more");
            }
            try (LineFile lines = open(file)) {
                assertEquals("more", lines.lines().getLast());
                assertEquals("", lines.rest());
            }
        }
    }

    @Test
    void onlyOneOpensIt() throws IOException {
        try (LineFile first = open(file)) {
            assertEquals("", first.rest());
            assertTrue(LineFile.open(file).isEmpty());
        }
        open(file).close();
    }
}
