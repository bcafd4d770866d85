package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.file.SafetensorsSamples.entry;
import static org.metaflowmaps.runtime.file.SafetensorsSamples.file;
import static org.metaflowmaps.runtime.file.SafetensorsSamples.inMemory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Every kind of invalid file; each differs from the valid file below in one way. */
class SafetensorsRefusalTest {
    private static final String RIGHT = "{" + entry("w", "F32", "[2,3]", "[0,24]") + "}";

    private static void refused(byte[] file, String... parts) {
        SafetensorsException e =
                assertThrows(SafetensorsException.class, () -> inMemory(file).close());
        String message = String.valueOf(e.getMessage());
        assertTrue(message.startsWith("test.safetensors: "), message);
        for (String part : parts) {
            assertTrue(message.contains(part), () -> "'" + part + "' is not in: " + message);
        }
    }

    private static void refused(String header, String... parts) {
        refused(file(header, 24), parts);
    }

    private static byte[] withLength(long length) {
        byte[] file = file(RIGHT, 24);
        ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
        return file;
    }

    @Test
    void theRightFileIsTaken() throws SafetensorsException {
        try (SafetensorsFile file = inMemory(file(RIGHT, 24))) {
            assertEquals(24, file.bytes("w").byteSize());
        }
        inMemory(file(RIGHT + "    ", 24)).close();
        inMemory(file("{}", 0)).close();
        inMemory(file("{\"__metadata__\":{}," + RIGHT.substring(1), 24)).close();
    }

    @Test
    void tooShort() {
        refused(new byte[0], "the file has 0 bytes", "at least 8", "truncated");
        refused(new byte[7], "the file has 7 bytes");
    }

    @Test
    void headerLength() {
        refused(
                withLength(1000),
                "given as 1000 bytes",
                "only " + (RIGHT.length() + 24) + " follow",
                "truncated, fetch it again");
        refused(withLength(100_000_001), "given as 100000001 bytes", "at most 100000000");
        refused(withLength(-1), "given as 18446744073709551615 bytes", "at most 100000000", "not a safetensors file");
        refused(withLength(0), "the header is empty", "'{'");
        refused(Arrays.copyOf(file(RIGHT, 0), 20), "only 12 follow", "truncated");
    }

    @Test
    void encoding() {
        byte[] header = RIGHT.getBytes(ISO_8859_1);
        header[2] = (byte) 0xE9;
        refused(file(header, 24), "byte 2 is not UTF-8", "JSON in UTF-8");
        refused("\uFEFF" + RIGHT, "begins with byte 239", "'{'");
        refused("{" + entry("a\\ud800", "F32", "[6]", "[0,24]") + "}", "not valid JSON", "surrogate");
        refused("{" + entry("a\\udc00", "F32", "[6]", "[0,24]") + "}", "not valid JSON", "surrogate");
        refused("{\"__metadata__\":{\"k\":\"\\udc00\"}}", "half a surrogate pair");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{",
                "{]",
                "{\"w\"}",
                "{\"w\":}",
                "{\"__metadata__\":{},}",
                "{'w':{}}",
                "{\"w\":nul}",
                "{//\n}",
                "{\"w\\x\":{}}",
                "{\"w\":{\"shape\":[01]}}",
                "{\"w\":{\"shape\":[+1]}}",
                "{\"w\":{\"shape\":[1,]}}",
                "{\"w\":{\"shape\":[NaN]}}",
                "{\u0000}"
            })
    void json(String header) {
        refused(header, "the header is not valid JSON: ", "(at character ", "one JSON object with every name once");
    }

    @Test
    void notAnObject() {
        refused("[" + RIGHT + "]", "begins with byte 91", "'{'");
        refused(" " + RIGHT, "begins with byte 32", "'{'");
    }

    @ParameterizedTest
    @ValueSource(strings = {"x", "}", "{}", " {}", "\u0000", ",", " 1", "\"\""})
    void trailingText(String tail) {
        refused(
                RIGHT + tail,
                "text follows the header's JSON object at character " + RIGHT.length(),
                "nothing but spaces");
    }

    @Test
    void duplicates() {
        String w = entry("w", "F32", "[2,3]", "[0,24]");
        refused("{" + w + "," + w + "}", "Duplicate", "\"w\"", "every name once");
        refused("{" + w + "," + w.replace("\"w\"", "\"\\u0077\"") + "}", "Duplicate", "\"w\"");
        refused(RIGHT.replace("\"dtype\"", "\"shape\":[2,3],\"dtype\""), "tensor 'w'", "Duplicate", "\"shape\"");
        refused(RIGHT.replace("\"dtype\"", "\"dtype\":\"F32\",\"dtype\""), "tensor 'w'", "Duplicate", "\"dtype\"");
        refused("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}," + w + "}", "Duplicate", "\"k\"");
        refused("{\"__metadata__\":{},\"__metadata__\":{}," + w + "}", "Duplicate", "\"__metadata__\"");
    }

    /** A type that only the format supports makes only its own tensor unreadable. */
    @ParameterizedTest
    @ValueSource(strings = {"F8_E4M3", "F8_E5M2", "U16", "U64", "C64", "F4"})
    void typesThatAreNotSupported(String type) throws IOException {
        String header = "{" + entry("w", type, "[2,3]", "[0,24]") + "," + entry("v", "F32", "[1]", "[24,28]") + "}";
        try (SafetensorsFile file = inMemory(file(header, 28))) {
            assertEquals(Set.of("v"), file.entries().keySet());
            assertTrue(
                    file.unreadable().getOrDefault("w", "").contains("type " + type + ", shape [2, 3]"),
                    file.unreadable().toString());
            IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> file.bytes("w"));
            assertTrue(String.valueOf(e.getMessage()).contains(type), e.getMessage());
        }
        refused("{" + entry("w", type, "[2,3]", "[0,24]") + "," + entry("v", "F32", "[1]", "[20,24]") + "}", "overlap");
    }

    @ParameterizedTest
    @ValueSource(strings = {"f32", "", "F 8", "8F"})
    void unknownType(String type) {
        refused(
                "{" + entry("w", type, "[2,3]", "[0,24]") + "}",
                "tensor 'w'",
                "dtype is '" + type + "'",
                "one of BF16, BOOL, F16,");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "-1",
                "-0",
                "1.5",
                "2.0",
                "1e3",
                "9223372036854775808",
                "18446744073709551616",
                "\"2\"",
                "null",
                "true"
            })
    void badNumber(String number) {
        String shown = "holds '" + number.replace("\"", "") + "'";
        refused(
                "{" + entry("w", "F32", "[" + number + ",3]", "[0,24]") + "}",
                "tensor 'w'",
                "shape " + shown,
                "a whole number from 0 to");
        refused("{" + entry("w", "F32", "[2,3]", "[0," + number + "]") + "}", "tensor 'w'", "data_offsets " + shown);
    }

    @Test
    void hugeNumbers() {
        refused(
                "{" + entry("w", "F32", "[" + "9".repeat(50) + "]", "[0,24]") + "}",
                "tensor 'w'",
                "which is too large");
        refused(
                "{" + entry("w", "F32", "[" + "9".repeat(5000) + "]", "[0,24]") + "}",
                "tensor 'w'",
                "Number value length");
    }

    @Test
    void nesting() {
        refused("{" + entry("w", "F32", "[[2],3]", "[0,24]") + "}", "tensor 'w'", "shape holds an array");
        refused("{" + entry("w", "F32", "[".repeat(50_000), "[0,24]") + "}", "tensor 'w'", "shape holds an array");
        refused("{\"w\":" + "{\"dtype\":".repeat(50_000), "tensor 'w'", "dtype is an object");
        refused("{\"__metadata__\":" + "{\"a\":".repeat(50_000), "__metadata__ has an object under 'a'");
        refused("{\"w\":{\"x\":" + "[".repeat(50_000), "tensor 'w'", "unexpected field 'x'");
    }

    @Test
    void overflowingShape() {
        for (String shape :
                new String[] {"[9223372036854775807]", "[4294967296,4294967296]", "[3037000500,3037000500,0]"}) {
            refused("{" + entry("w", "F32", shape, "[0,24]") + "}", "tensor 'w'", shape.replace(",", ", "), "64-bit");
        }
    }

    @Test
    void offsets() {
        refused(
                "{" + entry("w", "F32", "[2,3]", "[24,0]") + "}",
                "tensor 'w'",
                "begin at 24 and end at 0",
                "begin <= end");
        refused(
                "{" + entry("w", "F32", "[2,3]", "[0,20]") + "}",
                "tensor 'w'",
                "span 20 bytes",
                "24 for shape [2, 3] of float32");
        refused(
                "{" + entry("w", "F32", "[]", "[0,24]") + "}",
                "tensor 'w'",
                "span 24 bytes",
                "4 for shape [] of float32");
        refused(
                "{" + entry("w", "F32", "[7]", "[0,28]") + "}",
                "tensor 'w'",
                "end at 28, beyond the 24 bytes",
                "truncated");
        refused("{" + entry("w", "F32", "[2,3]", "[0]") + "}", "tensor 'w'", "holds 1 numbers", "two");
        refused("{" + entry("w", "F32", "[2,3]", "[0,24,48]") + "}", "tensor 'w'", "holds 3 numbers", "two");
        refused("{" + entry("w", "F32", "6", "[0,24]") + "}", "tensor 'w'", "shape is '6'", "an array");
        refused("{" + entry("w", "F32", "[6]", "{}") + "}", "tensor 'w'", "data_offsets is an object", "an array");
    }

    @Test
    void truncatedData() {
        refused(file(RIGHT, 23), "tensor 'w'", "end at 24, beyond the 23 bytes", "truncated, fetch it again");
    }

    @Test
    void layout() {
        refused(
                "{" + entry("a", "U8", "[16]", "[0,16]") + "," + entry("b", "U8", "[16]", "[8,24]") + "}",
                "tensor 'b'",
                "begin at 8, inside tensor 'a' which ends at 16",
                "do not overlap");
        refused(
                "{" + entry("b", "U8", "[24]", "[0,24]") + "," + entry("a", "U8", "[24]", "[0,24]") + "}",
                "inside tensor");
        refused(
                "{" + entry("a", "U8", "[0]", "[8,8]") + "," + entry("b", "U8", "[24]", "[0,24]") + "}",
                "tensor 'a'",
                "inside tensor 'b'");
        refused(
                "{" + entry("a", "U8", "[8]", "[0,8]") + "," + entry("b", "U8", "[8]", "[16,24]") + "}",
                "tensor 'b'",
                "begin at 16, after 8 bytes that no tensor has",
                "without holes");
        refused("{" + entry("b", "U8", "[16]", "[8,24]") + "}", "tensor 'b'", "after 8 bytes that no tensor has");
        refused(
                "{" + entry("a", "U8", "[16]", "[0,16]") + "}",
                "end at byte 16",
                "has 8 more bytes",
                "end with the last tensor");
        refused("{}", "end at byte 0", "has 24 more bytes");
    }

    @Test
    void metadata() {
        String w = RIGHT.substring(1);
        refused("{\"__metadata__\":[]," + w, "__metadata__ is an array", "values are strings");
        refused("{\"__metadata__\":null," + w, "__metadata__ is 'null'");
        refused("{\"__metadata__\":\"x\"," + w, "__metadata__ is 'x'");
        refused("{\"__metadata__\":{\"steps\":3}," + w, "__metadata__ has '3' under 'steps'", "a string");
        refused("{\"__metadata__\":{\"steps\":{}}," + w, "__metadata__ has an object under 'steps'", "a string");
    }

    @Test
    void fields() {
        refused(
                RIGHT.replace("\"dtype\"", "\"extra\":1,\"dtype\""),
                "tensor 'w'",
                "unexpected field 'extra'",
                "exactly the fields");
        refused(RIGHT.replace("\"dtype\":\"F32\",", ""), "tensor 'w'", "field dtype is missing", "exactly the fields");
        refused(RIGHT.replace("\"shape\":[2,3],", ""), "tensor 'w'", "field shape is missing");
        refused(RIGHT.replace(",\"data_offsets\":[0,24]", ""), "tensor 'w'", "field data_offsets is missing");
        refused("{\"w\":[]}", "tensor 'w'", "its description is an array", "an object");
        refused("{\"w\":{\"dtype\":7}}", "tensor 'w'", "dtype is '7'", "one of ");
    }

    @Test
    void manyDimensions() {
        String ones = "1" + ",1".repeat(63);
        assertEquals(64, ones.split(",").length);
        refused(
                "{" + entry("w", "F32", "[" + ones + ",1]", "[0,24]") + "}",
                "tensor 'w'",
                "shape holds more than 64 numbers");
        refused(
                "{" + entry("w", "F32", "[1]", "[" + ones + ",1]") + "}",
                "tensor 'w'",
                "data_offsets holds more than 64 numbers");
        refused(
                "{" + entry("w", "F32", "[" + ones + "]", "[0,24]") + "}",
                "tensor 'w'",
                "span 24 bytes",
                "expected 4 for shape");
    }

    @Test
    void namesFromTheFileCannotBreakTheMessage() {
        String name = "n\\n\\u001b[31m" + "x".repeat(5000);
        SafetensorsException e = assertThrows(
                SafetensorsException.class,
                () -> inMemory(file("{" + entry(name, "f99", "[6]", "[0,24]") + "}", 24))
                        .close());
        assertShortLine(String.valueOf(e.getMessage()));
        SafetensorsException twice = assertThrows(
                SafetensorsException.class,
                () -> inMemory(file("{\"__metadata__\":{\"" + name + "\":\"\",\"" + name + "\":\"\"}}", 0))
                        .close());
        assertShortLine(String.valueOf(twice.getMessage()));
    }

    private static void assertShortLine(String message) {
        assertTrue(message.length() < 500, message);
        assertTrue(message.chars().noneMatch(Character::isISOControl), message);
    }

    @Test
    void notAFile(@TempDir Path folder) throws IOException {
        Path missing = folder.resolve("missing.safetensors");
        NoSuchFileException absent = assertThrows(
                NoSuchFileException.class, () -> SafetensorsFile.open(missing).close());
        assertTrue(
                String.valueOf(absent.getMessage()).contains(missing + ": there is no such file"), absent.getMessage());
        IOException e = assertThrows(
                IOException.class, () -> SafetensorsFile.open(folder).close());
        assertTrue(String.valueOf(e.getMessage()).contains(folder + " is not a regular file"), e.getMessage());
        Path empty = Files.createFile(folder.resolve("empty.safetensors"));
        SafetensorsException nothing = assertThrows(
                SafetensorsException.class, () -> SafetensorsFile.open(empty).close());
        assertTrue(
                String.valueOf(nothing.getMessage()).startsWith(empty + ": the file is empty"), nothing.getMessage());
    }
}
