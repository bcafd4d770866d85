package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.common.primitives.Longs;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.file.SafetensorsWriter.Item;

class SafetensorsWriterTest {
    private static final Pattern ENTRY = Pattern.compile(
            "\"([^\"]+)\":\\{\"dtype\":\"(\\w+)\",\"shape\":\\[([\\d,]*)],\"data_offsets\":\\[(\\d+),(\\d+)]}");

    @TempDir
    Path folder;

    private static Item item(String name, DType type, byte[] bytes, Long... shape) {
        return new Item(name, type, Shape.of(Longs.toArray(List.of(shape))), MemorySegment.ofArray(bytes));
    }

    private static byte[] random(long seed, int count) {
        byte[] bytes = new byte[count];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    private static byte[] bytes(SafetensorsFile file, String name) {
        return file.bytes(name).toArray(ValueLayout.JAVA_BYTE);
    }

    /** For every type: a matrix, a single value and an empty tensor, in an order that would misalign them. */
    private static List<Item> everything() {
        List<Item> items = new ArrayList<>();
        for (DType type : DType.values()) {
            items.add(item(type + ".one", type, random(items.size(), type.bytes())));
            items.add(item(type + ".empty", type, new byte[0], 3L, 0L, 5L));
            items.add(item(type + ".matrix", type, random(items.size(), 15 * type.bytes()), 3L, 5L));
        }
        return items;
    }

    @Test
    void whatIsWrittenIsRead() throws IOException {
        Path path = folder.resolve("all.safetensors");
        Map<String, String> metadata =
                Map.of("config", "{\"width\": 32}", "пояснение", "line\nbreak \"quoted\" \\ \u0007 🎲", "", "");
        List<Item> items = everything();
        SafetensorsWriter.write(path, metadata, items);
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            Map<String, String> expected = new LinkedHashMap<>(metadata);
            expected.put("format", "pt");
            assertEquals(expected, file.metadata());
            assertEquals(items.size(), file.entries().size());
            for (Item item : items) {
                SafetensorsFile.Entry entry = requireNonNull(file.entries().get(item.name()), item.name());
                assertEquals(item.dtype(), entry.dtype());
                assertEquals(item.shape(), entry.shape());
                assertTrue(file.aligned(item.name()), item.name());
                assertArrayEquals(item.bytes().toArray(ValueLayout.JAVA_BYTE), bytes(file, item.name()), item.name());
            }
            List<Integer> sizes = file.entries().values().stream()
                    .map(entry -> entry.dtype().bytes())
                    .toList();
            assertEquals(sizes.stream().sorted((a, b) -> b - a).toList(), sizes);
            assertEquals(
                    List.of("int64.one", "int64.empty", "int64.matrix"),
                    file.entries().keySet().stream()
                            .filter(name -> name.startsWith("int64"))
                            .toList(),
                    "the given order stays");
        }
    }

    @Test
    void anotherParserReadsTheSame() throws Exception {
        Path path = folder.resolve("all.safetensors");
        List<Item> items = everything();
        String digest = SafetensorsWriter.write(path, Map.of("b", "2", "a", "1"), items);
        byte[] file = Files.readAllBytes(path);
        assertEquals(
                HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(file)), digest);

        long length = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).getLong();
        assertEquals(0, length % 8);
        int data = Math.toIntExact(8 + length);
        String header = new String(file, 8, Math.toIntExact(length), UTF_8);
        assertTrue(header.startsWith("{\"__metadata__\":{\"a\":\"1\",\"b\":\"2\",\"format\":\"pt\"},"), header);
        assertTrue(header.matches("(?s)\\{.*}} {0,7}"), header);
        Map<String, Item> left = new LinkedHashMap<>();
        items.forEach(item -> left.put(item.name(), item));
        long reached = 0;
        Matcher matcher = ENTRY.matcher(header);
        while (matcher.find()) {
            Item item = requireNonNull(left.remove(matcher.group(1)), matcher.group());
            assertEquals(item.dtype().safetensorsName(), matcher.group(2));
            assertEquals(item.shape().toString().replaceAll("[\\[\\] ]", ""), matcher.group(3));
            assertEquals(reached, Long.parseLong(matcher.group(4)));
            reached = Long.parseLong(matcher.group(5));
            assertArrayEquals(
                    item.bytes().toArray(ValueLayout.JAVA_BYTE),
                    Arrays.copyOfRange(
                            file, data + Integer.parseInt(matcher.group(4)), data + Math.toIntExact(reached)));
        }
        assertTrue(left.isEmpty(), () -> "not found: " + left.keySet());
        assertEquals(file.length, data + reached);
    }

    @Test
    void nativeAndTypedSegmentsOfManyBlocksAreStreamed() throws IOException {
        Path path = folder.resolve("large.safetensors");
        float[] floats = new float[700_000];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = i;
        }
        try (Arena arena = Arena.ofConfined()) {
            byte[] raw = random(5, 3_500_001);
            MemorySegment outside = arena.allocate(raw.length);
            outside.copyFrom(MemorySegment.ofArray(raw));
            SafetensorsWriter.write(
                    path,
                    Map.of(),
                    List.of(
                            new Item("raw", DType.UINT8, Shape.of(raw.length), outside),
                            new Item("floats", DType.FLOAT32, Shape.of(700, 1000), MemorySegment.ofArray(floats))));
            try (SafetensorsFile file = SafetensorsFile.open(path)) {
                assertArrayEquals(raw, bytes(file, "raw"));
                assertArrayEquals(floats, file.bytes("floats").toArray(ValueLayout.JAVA_FLOAT));
            }
        }
    }

    @Test
    void equalContentMakesEqualFiles() throws IOException {
        Map<String, String> forward = new LinkedHashMap<>();
        Map<String, String> backward = new LinkedHashMap<>();
        for (int i = 0; i < 20; i++) {
            forward.put("k" + i, "v");
            backward.put("k" + (19 - i), "v");
        }
        Path one = folder.resolve("1");
        Path two = folder.resolve("2");
        assertEquals(
                SafetensorsWriter.write(one, forward, everything()),
                SafetensorsWriter.write(two, backward, everything()));
        assertEquals(-1, Files.mismatch(one, two));
    }

    @Test
    void unusualNamesSurvive() throws IOException {
        Path path = folder.resolve("names.safetensors");
        List<String> names = List.of(
                "",
                "a/b.c",
                "\"quoted\"",
                "back\\slash",
                "tab\t",
                "\u0000",
                "层.權重",
                "🎲",
                "_metadata_",
                "long".repeat(50_000));
        SafetensorsWriter.write(
                path,
                Map.of(),
                names.stream().map(name -> item(name, DType.BOOL, new byte[1])).toList());
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertEquals(names, List.copyOf(file.entries().keySet()));
        }
    }

    @Test
    void wrongItemsAreRefused() {
        assertRefused(
                "tensor 'w' of shape [2] of float32 was given 7 bytes: expected 8",
                () -> item("w", DType.FLOAT32, new byte[7], 2L));
        assertRefused("was given 0 bytes: expected 4", () -> item("w", DType.FLOAT32, new byte[0]));
        assertRefused("[-1, -1] has a negative size", () -> item("w", DType.FLOAT32, new byte[4], -1L, -1L));
        assertRefused(
                "[4611686018427387904, 2] has more elements than memory can hold",
                () -> item("w", DType.UINT8, new byte[0], 1L << 62, 2L));
        assertRefused(
                "at most 64 sizes",
                () -> item(
                        "w",
                        DType.UINT8,
                        new byte[1],
                        Collections.nCopies(65, 1L).toArray(Long[]::new)));
        assertRefused("cannot be named __metadata__", () -> item("__metadata__", DType.UINT8, new byte[1]));
        assertRefused("half a surrogate pair", () -> item("\ud800", DType.UINT8, new byte[1]));
        Item w = item("w", DType.UINT8, new byte[1]);
        assertRefused(
                "two tensors are named 'w'",
                () -> SafetensorsWriter.write(folder.resolve("x"), Map.of(), List.of(w, w)));
        assertRefused(
                "half a surrogate pair",
                () -> SafetensorsWriter.write(folder.resolve("x"), Map.of("k", "\udc00"), List.of(w)));
        assertFalse(Files.exists(folder.resolve("x")));
    }

    private static void assertRefused(String part, Executable action) {
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, action).getMessage());
        assertTrue(message.contains(part), message);
    }

    @Test
    void aSegmentThatDiesMidwayLeavesTheOldFile() throws IOException {
        Path path = folder.resolve("model.safetensors");
        SafetensorsWriter.write(path, Map.of("is", "old"), everything());
        byte[] old = Files.readAllBytes(path);
        Item dead;
        try (Arena arena = Arena.ofConfined()) {
            dead = new Item("dead", DType.UINT8, Shape.of(3_000_000), arena.allocate(3_000_000));
        }
        assertThrows(
                IllegalStateException.class,
                () -> SafetensorsWriter.write(path, Map.of(), List.of(item("w", DType.INT64, new byte[8]), dead)));
        assertArrayEquals(old, Files.readAllBytes(path));
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(List.of(path), files.toList());
        }
    }

    @Test
    void writingToAViewLeavesTheFile() throws IOException {
        Path path = folder.resolve("model.safetensors");
        SafetensorsWriter.write(path, Map.of(), everything());
        byte[] before = Files.readAllBytes(path);
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            file.bytes("float32.matrix").fill((byte) 0x55);
            assertEquals(
                    (byte) 0x55,
                    file.bytes("float32.matrix").get(ValueLayout.JAVA_BYTE, 59),
                    "this view sees what was written");
            assertArrayEquals(before, Files.readAllBytes(path));
        }
        assertArrayEquals(before, Files.readAllBytes(path));
    }

    @Test
    @SuppressWarnings("MustBeClosedChecker") // the files close the arenas
    void aCopyOfAReadOnlyFileIsTheSame() throws IOException {
        Path path = folder.resolve("model.safetensors");
        SafetensorsWriter.write(path, Map.of(), everything());
        assertTrue(path.toFile().setReadOnly());
        byte[] before = Files.readAllBytes(path);
        Arena arena = Arena.ofShared();
        Arena other = Arena.ofShared();
        // A privileged user may write to read-only files, so call the read-only paths explicitly.
        try (SafetensorsFile copied = SafetensorsFile.over("copy", SafetensorsFile.copy(path, arena), arena);
                SafetensorsFile mapped = SafetensorsFile.over("mapping", SafetensorsFile.readOnly(path, other), other);
                SafetensorsFile opened = SafetensorsFile.open(path)) {
            for (Item item : everything()) {
                assertArrayEquals(item.bytes().toArray(ValueLayout.JAVA_BYTE), bytes(copied, item.name()));
                assertArrayEquals(item.bytes().toArray(ValueLayout.JAVA_BYTE), bytes(opened, item.name()));
                assertArrayEquals(item.bytes().toArray(ValueLayout.JAVA_BYTE), bytes(mapped, item.name()));
                copied.bytes(item.name()).fill((byte) 1);
                mapped.bytes(item.name()).fill((byte) 1);
                assertTrue(copied.aligned(item.name()));
            }
        }
        assertArrayEquals(before, Files.readAllBytes(path));
        assertTrue(path.toFile().setWritable(true), "Windows deletes only what may be written");
    }

    @Test
    void misalignmentIsTold() throws IOException {
        String header = "{" + SafetensorsSamples.entry("byte", "U8", "[4]", "[0,4]") + ","
                + SafetensorsSamples.entry("four", "F32", "[1]", "[4,8]") + ","
                + SafetensorsSamples.entry("wide", "I64", "[1]", "[8,16]")
                + "," + SafetensorsSamples.entry("odd", "U8", "[1]", "[16,17]") + ","
                + SafetensorsSamples.entry("half", "F16", "[1]", "[17,19]")
                + "}";
        String padded = header + " ".repeat(4 + (8 - header.length() % 8) % 8);
        try (SafetensorsFile file = SafetensorsSamples.inMemory(SafetensorsSamples.file(padded, 19))) {
            assertEquals(
                    List.of(true, true, false, true, false),
                    file.entries().keySet().stream().map(file::aligned).toList());
            assertArrayEquals(
                    new byte[] {8, 9, 10, 11, 12, 13, 14, 15}, bytes(file, "wide"), "bytes are served all the same");
        }
    }

    @Test
    void lifetimeAndLookup() throws IOException {
        Path path = folder.resolve("model.safetensors");
        SafetensorsWriter.write(path, Map.of(), List.of(item("w", DType.UINT8, new byte[1])));
        SafetensorsFile file = SafetensorsFile.open(path);
        MemorySegment view = file.bytes("w");
        IllegalArgumentException absent = assertThrows(IllegalArgumentException.class, () -> file.bytes("v"));
        assertEquals(path + " has no tensor 'v' among its 1: entries() lists them", absent.getMessage());
        assertThrows(UnsupportedOperationException.class, () -> file.entries().clear());
        assertThrows(UnsupportedOperationException.class, () -> file.metadata().put("a", "b"));
        file.close();
        file.close();
        assertThrows(IllegalStateException.class, () -> view.get(ValueLayout.JAVA_BYTE, 0));
        IllegalStateException closed = assertThrows(IllegalStateException.class, () -> file.bytes("w"));
        assertTrue(String.valueOf(closed.getMessage()).contains(path + " is closed"), closed.getMessage());
    }

    @Test
    @EnabledOnOs(
            value = {OS.LINUX, OS.MAC},
            disabledReason = "needs files with holes, not 3 GB of zeros")
    void filesBeyondTwoGigabytesAreMapped() throws IOException {
        Path path = folder.resolve("sparse.safetensors");
        long count = 3L << 30;
        byte[] head = SafetensorsSamples.file(
                "{" + SafetensorsSamples.entry("big", "U8", "[" + count + "]", "[0," + count + "]") + "}", 0);
        try (RandomAccessFile raw = new RandomAccessFile(path.toFile(), "rw")) {
            raw.write(head);
            raw.setLength(head.length + count);
            raw.seek(head.length + count - 1);
            raw.write(42);
        }
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertEquals(count, file.bytes("big").byteSize());
            assertEquals(42, file.bytes("big").get(ValueLayout.JAVA_BYTE, count - 1));
        }
    }
}
