package org.metaflowmaps.training.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.training.metrics.MetricsLog.Entry;

class MetricsLogTest {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path folder;

    @Test
    void linesAreJsonInTheOrderGiven() throws IOException {
        Path file = folder.resolve("new/metrics.jsonl");
        try (MetricsLog log = MetricsLog.open(file, 0)) {
            Map<String, Double> values = new LinkedHashMap<>();
            values.put("loss", 0.25);
            values.put("a \"quoted\"\nname", -1e-30);
            values.put("gradient", Double.NaN);
            values.put("up", Double.POSITIVE_INFINITY);
            values.put("down", Double.NEGATIVE_INFINITY);
            log.append(new Entry(100, 12.5, values));
            // Read before closing, because a killed run must keep it.
            assertEquals(
                    "{\"step\":100,\"seconds\":12.5,\"loss\":0.25,\"a \\\"quoted\\\"\\n"
                            + "name\":-1.0E-30,\"gradient\":\"NaN\",\"up\":\"Infinity\",\"down\":\"-Infinity\"}\n",
                    Files.readString(file));
            assertEquals(List.of(new Entry(100, 12.5, values)), MetricsLog.read(file));
        }
    }

    @Test
    void whatIsWrittenIsReadBackExactly() throws IOException {
        Path file = folder.resolve("metrics.jsonl");
        List<Entry> entries = randomEntries(500);
        write(file, entries);
        assertEquals(entries, MetricsLog.read(file));
    }

    @Test
    void aRunKilledAtAnyByteLosesAtMostTheLastLine() throws IOException {
        Path file = folder.resolve("metrics.jsonl");
        List<Entry> entries = randomEntries(4);
        write(file, entries);
        byte[] whole = Files.readAllBytes(file);
        Entry next = new Entry(99, 1, Map.of("löss", 2.0));
        for (int length = 0; length <= whole.length; length++) {
            byte[] torn = Arrays.copyOf(whole, length);
            Files.write(file, torn);
            long complete = new String(torn, StandardCharsets.UTF_8)
                    .chars()
                    .filter(c -> c == '\n')
                    .count();
            try (MetricsLog log = MetricsLog.open(file, 98)) {
                log.append(next);
            }
            List<Entry> found = MetricsLog.read(file);
            int kept = found.size() - 1;
            // A line without its line end counts as complete.
            boolean onlyTheEndMissing = length + 1 <= whole.length && whole[length] == '\n';
            assertEquals(onlyTheEndMissing ? complete + 1 : complete, kept, "torn at " + length);
            assertEquals(entries.subList(0, kept), found.subList(0, kept));
            assertEquals(next, found.get(kept));
        }
    }

    @Test
    void resumingDropsTheStepsThatWillBeTakenAgain() throws IOException {
        Path file = folder.resolve("metrics.jsonl");
        write(file, List.of(entry(10), entry(20), entry(30)));
        try (MetricsLog log = MetricsLog.open(file, 20)) {
            log.append(entry(25));
        }
        assertEquals(List.of(entry(10), entry(20), entry(25)), MetricsLog.read(file));
        MetricsLog.open(file, 0).close();
        assertEquals(List.of(), MetricsLog.read(file));
        try (var files = Files.list(folder)) {
            assertEquals(1, files.count(), "nothing is left beside the log");
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "nonsense",
                "[1]",
                "{}",
                "{\"step\":1}",
                "{\"step\":1.5,\"seconds\":1}",
                "{\"step\":-1,\"seconds\":1}",
                "{\"step\":1,\"seconds\":1,\"loss\":\"high\"}",
                "{\"step\":1,\"seconds\":1,\"loss\":null}",
                "{\"step\":99999999999999999999,\"seconds\":1}",
                "{\"step\":1,\"seconds\":1}{\"step\":2,\"seconds\":1}"
            })
    void aForeignLineIsNamed(String line) throws IOException {
        Path file = folder.resolve("metrics.jsonl");
        String good = "{\"step\":1,\"seconds\":1,\"loss\":3}\n";
        Files.writeString(file, good + line + "\n" + good);
        String message = String.valueOf(
                assertThrows(IOException.class, () -> MetricsLog.read(file)).getMessage());
        assertTrue(message.startsWith(file + ": line 2 is not"), message);
        assertThrows(IOException.class, () -> MetricsLog.open(file, 1));
        assertEquals(good + line + "\n" + good, Files.readString(file), "a refused log stays as it is");
    }

    @Test
    void reservedNamesAndBadStepsAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> new Entry(1, 1, Map.of("step", 1.0)));
        assertThrows(IllegalArgumentException.class, () -> new Entry(1, 1, Map.of("seconds", 1.0)));
        assertThrows(IllegalArgumentException.class, () -> new Entry(-1, 1, Map.of()));
        assertThrows(IllegalArgumentException.class, () -> new Entry(1, Double.NaN, Map.of()));
    }

    private static Entry entry(long step) {
        return new Entry(step, step * 0.5, Map.of("loss", 1.0 / step));
    }

    private static List<Entry> randomEntries(int count) {
        Random random = new Random(3);
        return random.longs(count, 0, 90)
                .sorted()
                .mapToObj(step -> new Entry(
                        step,
                        random.nextDouble() * 1e5,
                        Map.of("löss/☃", Double.longBitsToDouble(random.nextLong()), "b", random.nextGaussian())))
                .toList();
    }

    private static void write(Path file, List<Entry> entries) throws IOException {
        try (MetricsLog log = MetricsLog.open(file, Long.MAX_VALUE)) {
            for (Entry entry : entries) {
                log.append(entry);
            }
        }
    }
}
