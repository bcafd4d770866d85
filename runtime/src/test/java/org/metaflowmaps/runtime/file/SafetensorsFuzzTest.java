package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.DType;

/** Thousands of damaged files, the same in every run: each is rejected, or all its tensors are inside the file. */
class SafetensorsFuzzTest {
    private static final int CASES = 10_000;
    private static final int FILES = 300;
    private static final List<DType> TYPES = List.of(DType.values());
    private static final Pattern NUMBER = Pattern.compile("\\d+");
    private static final Pattern PIECE = Pattern.compile("\"[^\"]*\"|[\\[\\]{}:,]");
    private static final List<String> NUMBERS = List.of(
            "0",
            "1",
            "-1",
            "1.5",
            "1e3",
            "00",
            "2147483648",
            "4294967296",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "9".repeat(60),
            "1" + "0".repeat(2000),
            "null",
            "[]",
            "\"1\"");
    private static final List<String> PIECES = List.of(
            "\"dtype\"",
            "\"shape\"",
            "\"data_offsets\"",
            "\"__metadata__\"",
            "\"F32\"",
            "\"F16\"",
            "\"I64\"",
            "\"Q4\"",
            "\"t0\"",
            "\"t1\"",
            "\"\\u0074\\u0030\"",
            "\"\\ud800\"",
            "[",
            "]",
            "{",
            "}",
            ":",
            ",",
            "[[[[",
            "{\"a\":{\"a\":",
            "",
            " ",
            "\u0000",
            "//",
            "NaN",
            "true");

    @Test
    void damagedFilesInMemory() throws SafetensorsException {
        Tally tally = new Tally();
        for (int i = 0; i < CASES; i++) {
            byte[] file = damaged(new Random(i));
            try (SafetensorsFile opened = SafetensorsSamples.inMemory(file)) {
                tally.accept(opened, file.length);
            } catch (SafetensorsException e) {
                tally.refuse(e);
            }
        }
        assertEquals(CASES, tally.accepted + tally.refused);
        assertTrue(tally.accepted > CASES / 20, () -> "too few pass to test what passes: " + tally.accepted);
        assertTrue(tally.refused > CASES / 2, () -> "too few are damaged: " + tally.refused);
        assertTrue(tally.tensors > CASES / 20, () -> "too few tensors: " + tally.tensors);
        for (String reason : List.of(
                "not valid JSON",
                "Duplicate",
                "not UTF-8",
                "begins with byte",
                "follow",
                "at most 100000000",
                "text follows",
                "dtype is",
                "unexpected field",
                "is missing",
                "too large",
                "64-bit",
                "a whole number",
                "begin <= end",
                "beyond the",
                "span",
                "inside tensor",
                "that no tensor has",
                "more bytes",
                "an array",
                "__metadata__ ")) {
            assertTrue(
                    tally.reasons.stream().anyMatch(text -> text.contains(reason)),
                    () -> "never refused for: " + reason);
        }
    }

    @Test
    void damagedFilesOnDisk(@TempDir Path folder) throws IOException {
        Tally tally = new Tally();
        for (int i = 0; i < FILES; i++) {
            byte[] file = damaged(new Random(CASES + i));
            Path path = Files.write(folder.resolve(i + ".safetensors"), file);
            try (SafetensorsFile opened = SafetensorsFile.open(path)) {
                tally.accept(opened, file.length);
            } catch (SafetensorsException e) {
                tally.refuse(e);
            }
        }
        assertTrue(
                tally.accepted > 10 && tally.refused > 100,
                () -> tally.accepted + " passed, " + tally.refused + " refused");
    }

    /** Counts, and checks the accepted files. */
    private static final class Tally {
        private final Set<String> reasons = new TreeSet<>();
        private int accepted;
        private int refused;
        private int tensors;

        void refuse(SafetensorsException e) {
            refused++;
            String message = String.valueOf(e.getMessage());
            reasons.add(message);
            assertTrue(message.length() < 500, message);
        }

        void accept(SafetensorsFile file, long fileBytes) {
            accepted++;
            List<long[]> ranges = new ArrayList<>();
            long total = 0;
            for (SafetensorsFile.Entry entry : file.entries().values()) {
                tensors++;
                assertTrue(UTF_8.newEncoder().canEncode(entry.name()), "the name is whole characters");
                BigInteger expected = entry.shape().sizes().asList().stream()
                        .map(BigInteger::valueOf)
                        .reduce(BigInteger.valueOf(entry.dtype().bytes()), BigInteger::multiply);
                var bytes = file.bytes(entry.name());
                assertEquals(expected, BigInteger.valueOf(bytes.byteSize()), entry.name());
                assertTrue(entry.begin() >= 0 && entry.end() <= fileBytes - 10, "inside the file, behind its header");
                if (bytes.byteSize() > 0) {
                    // Reads every byte: one outside the mapping would fault or fail its bounds.
                    assertEquals(bytes.byteSize(), bytes.toArray(ValueLayout.JAVA_BYTE).length);
                    ranges.add(new long[] {bytes.address(), bytes.address() + bytes.byteSize()});
                }
                total += bytes.byteSize();
            }
            assertTrue(total <= fileBytes - 10);
            ranges.sort((a, b) -> Long.compare(a[0], b[0]));
            for (int i = 1; i < ranges.size(); i++) {
                assertTrue(ranges.get(i)[0] >= ranges.get(i - 1)[1], "tensors overlap");
            }
        }
    }

    private static byte[] damaged(Random random) {
        List<String> entries = new ArrayList<>();
        int data = 0;
        for (int i = random.nextInt(5); i >= 0; i--) {
            DType type = TYPES.get(random.nextInt(TYPES.size()));
            int rows = random.nextInt(4);
            int columns = 1 + random.nextInt(3);
            int end = data + rows * columns * type.bytes();
            entries.add(SafetensorsSamples.entry(
                    "t" + i, type.safetensorsName(), "[" + rows + "," + columns + "]", "[" + data + "," + end + "]"));
            data = end;
        }
        if (random.nextBoolean()) {
            entries.add("\"__metadata__\":{\"step\":\"12\",\"note\":\"\u00e9\"}");
        }
        Collections.shuffle(entries, random);
        String header = "{" + String.join(",", entries) + "}" + " ".repeat(random.nextInt(8));
        for (int i = random.nextInt(3); i >= 0; i--) {
            header = reworded(header, entries, random);
        }
        byte[] file = SafetensorsSamples.file(header, data);
        return random.nextInt(3) == 0 ? broken(file, random) : file;
    }

    /** A change of the header that uses its structure. */
    private static String reworded(String header, List<String> entries, Random random) {
        String some = entries.get(random.nextInt(entries.size()));
        return switch (random.nextInt(9)) {
            case 0 -> replaceOne(header, NUMBER, NUMBERS.get(random.nextInt(NUMBERS.size())), random);
            case 1 -> replaceOne(header, NUMBER, Integer.toString(random.nextInt(40)), random);
            case 2 -> replaceOne(header, PIECE, PIECES.get(random.nextInt(PIECES.size())), random);
            case 3 -> header.replaceFirst("\\{", Matcher.quoteReplacement("{" + some + ","));
            case 4 -> header.replace(some, "\"__metadata__\":{}");
            case 5 -> header.replace(some, some.replaceAll("\\[(\\d+),(\\d+)]", "[$2,$1]"));
            case 6 -> header.replace(some, some.replaceFirst("\\{(\"[^,]+),", "{$1,$1,"));
            case 7 -> header.replaceAll("([,:])", random.nextBoolean() ? "$1 " : "\n$1\t");
            default -> header;
        };
    }

    private static String replaceOne(String text, Pattern pattern, String by, Random random) {
        List<MatchResult> found = pattern.matcher(text).results().toList();
        if (found.isEmpty()) {
            return text;
        }
        MatchResult one = found.get(random.nextInt(found.size()));
        return text.substring(0, one.start()) + by + text.substring(one.end());
    }

    /** A random change of the file. */
    private static byte[] broken(byte[] file, Random random) {
        byte[] out = file.clone();
        int at = random.nextInt(out.length);
        int count = 1 + random.nextInt(Math.min(16, out.length - at));
        switch (random.nextInt(7)) {
            case 0 -> out[at] ^= (byte) (1 << random.nextInt(8));
            case 1 -> out[random.nextInt(8)] ^= (byte) (1 << random.nextInt(8));
            case 2 -> out = Arrays.copyOf(out, at);
            case 3 -> System.arraycopy(file, random.nextInt(out.length - count + 1), out, at, count);
            case 4 -> {
                byte[] noise = new byte[count];
                random.nextBytes(noise);
                System.arraycopy(noise, 0, out, at, count);
            }
            case 5 -> out = Arrays.copyOf(out, out.length + count);
            default -> out[at] = "\"{}[]:,\\0-e. x".getBytes(ISO_8859_1)[random.nextInt(14)];
        }
        return out;
    }
}
