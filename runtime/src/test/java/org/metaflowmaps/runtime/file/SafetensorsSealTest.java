package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.file.SafetensorsSamples.inMemory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.file.SafetensorsWriter.Item;

/** A file with its own checksum reveals every change. */
class SafetensorsSealTest {
    private static final byte[] DATA = new byte[1 << 8];

    @TempDir
    Path folder;

    private byte[] sealed(Map<String, String> metadata) throws IOException {
        new Random(1).nextBytes(DATA);
        Path file = folder.resolve("sealed.safetensors");
        Item item = new Item("w", DType.UINT8, Shape.of(DATA.length), MemorySegment.ofArray(DATA));
        String checksum = SafetensorsWriter.writeSealed(file, metadata, List.of(item));
        byte[] bytes = Files.readAllBytes(file);
        assertTrue(new String(bytes, ISO_8859_1).contains("\"sha256\":\"" + checksum + "\""));
        return bytes;
    }

    private static void refused(byte[] file) {
        SafetensorsException e = assertThrows(SafetensorsException.class, () -> {
            try (SafetensorsFile open = inMemory(file)) {
                open.verify();
            }
        });
        assertTrue(String.valueOf(e.getMessage()).startsWith("test.safetensors: "), e.getMessage());
    }

    @Test
    void theChecksumIsThatOfTheFileWithZerosInItsPlace() throws Exception {
        byte[] file = sealed(Map.of("a", "1", "z", "\"sha256\":\"" + "1".repeat(64) + "\""));
        String text = new String(file, ISO_8859_1);
        int place = text.indexOf("\"sha256\":\"") + 10;
        byte[] blank = file.clone();
        Arrays.fill(blank, place, place + 64, (byte) '0');
        String expected =
                HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(blank));
        assertEquals(expected, text.substring(place, place + 64));
        try (SafetensorsFile open = inMemory(file)) {
            assertTrue(open.isSealed());
            open.verify();
            assertEquals("1", open.metadata().get("a"));
            assertArrayEquals(DATA, open.bytes("w").toArray(ValueLayout.JAVA_BYTE));
        }
    }

    @Test
    void everyFlippedBitIsFound() throws IOException {
        byte[] file = sealed(Map.of("step", "12"));
        Random random = new Random(2);
        for (int i = 0; i < file.length; i++) {
            byte[] damaged = file.clone();
            damaged[i] ^= (byte) (1 << random.nextInt(8));
            refused(damaged);
        }
        // Upper-case digits are the same number, but not what was written.
        int place = new String(file, ISO_8859_1).indexOf("\"sha256\":\"") + 10;
        for (int i = place; i < place + 64; i++) {
            byte[] damaged = file.clone();
            damaged[i] ^= (byte) 0x20;
            refused(damaged);
        }
    }

    @Test
    void everyTruncationIsFound() throws IOException {
        byte[] file = sealed(Map.of());
        for (int length = 0; length < file.length; length += 3) {
            refused(Arrays.copyOf(file, length));
        }
        refused(Arrays.copyOf(file, file.length - 1));
        refused(Arrays.copyOf(file, file.length + 1));
        // The length is right, but the rest was not written.
        byte[] torn = file.clone();
        Arrays.fill(torn, file.length / 2, file.length, (byte) 0);
        refused(torn);
    }

    @Test
    void aFileWithoutASealSaysSo() throws IOException {
        try (SafetensorsFile open = inMemory(SafetensorsSamples.file("{}", 0))) {
            assertFalse(open.isSealed());
            SafetensorsException e = assertThrows(SafetensorsException.class, open::verify);
            assertTrue(String.valueOf(e.getMessage()).contains("no checksum"), e.getMessage());
        }
    }

    @Test
    void metadataThatWouldHideTheSealAreRefused() throws IOException {
        Refusal.illegalArgument("another key", () -> sealed(Map.of("sha256", "mine")));
        Refusal.illegalArgument("quotation marks", () -> sealed(Map.of("x\"sha256", "0".repeat(64))));
        assertEquals(0, folder.toFile().listFiles().length);
    }
}
