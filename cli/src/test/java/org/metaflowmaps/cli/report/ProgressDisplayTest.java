package org.metaflowmaps.cli.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class ProgressDisplayTest {
    private static final long SECOND = 1_000_000_000L;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final PrintStream stream = new PrintStream(out, true, StandardCharsets.UTF_8);
    private final AtomicLong now = new AtomicLong(-5 * SECOND);

    @Test
    void aLogGetsALineEveryHalfMinuteAndTheLastState() {
        try (ProgressDisplay progress = ProgressDisplay.lines("train", 1000, 100, stream, now::get)) {
            for (int step = 101; step <= 180; step++) {
                now.addAndGet(SECOND);
                progress.update(step, "loss " + step);
            }
        }
        assertEquals(
                List.of(
                        "train 130/1000 (13.0 %), 1.00 steps/s, 15 min left, loss 130",
                        "train 160/1000 (16.0 %), 1.00 steps/s, 14 min left, loss 160",
                        "train 180/1000 (18.0 %), 1.00 steps/s, 14 min left, loss 180"),
                lines());
    }

    @Test
    void aFinishedRunIsToldOnceWithoutTimeLeft() {
        try (ProgressDisplay progress = ProgressDisplay.lines("sample", 4000, 0, stream, now::get)) {
            now.addAndGet(40 * SECOND);
            progress.update(4000, "");
        }
        assertEquals(List.of("sample 4000/4000 (100.0 %), 100 steps/s"), lines());
    }

    @Test
    void longTimesAreTold() {
        try (ProgressDisplay progress = ProgressDisplay.lines("train", 100_000, 0, stream, now::get)) {
            now.addAndGet(60 * SECOND);
            progress.update(100, "");
            now.addAndGet(3 * SECOND);
            progress.update(99_900, "");
        }
        assertEquals(
                List.of(
                        "train 100/100000 (0.1 %), 1.67 steps/s, 16 h 39 min left",
                        "train 99900/100000 (99.9 %), 1586 steps/s, 0 s left"),
                lines());
    }

    @Test
    void nothingDoneGivesNoRate() {
        ProgressDisplay.lines("train", 10, 10, stream, now::get).close();
        assertEquals(List.of("train 10/10 (100.0 %)"), lines());
    }

    @Test
    void theTimeLeftFollowsTheRecentRate() {
        try (ProgressDisplay progress = ProgressDisplay.lines("train", 10_000, 0, stream, now::get)) {
            for (int step = 1; step <= 1000; step++) {
                now.addAndGet(SECOND / 100);
                progress.update(step, "");
            }
            for (int step = 1001; step <= 1120; step++) {
                now.addAndGet(SECOND);
                progress.update(step, "");
            }
        }
        assertEquals("train 1120/10000 (11.2 %), 1.00 steps/s, 2 h 28 min left", lines().getLast());
    }

    @Test
    void eightyColumnsKeepRateAndLosses() {
        String rest = ", 12 steps/s, 59 min left, diagonal 180.3123 consistency 0.7612";
        for (int width : new int[] {80, 100, 200}) {
            String line = ProgressDisplay.line("train", 123_456, 2_000_000, rest, width);
            assertTrue(line.length() <= width && line.endsWith("123456/2000000" + rest), line);
        }
        assertEquals("train 50% [===   ] 5/10, x", ProgressDisplay.line("train", 5, 10, ", x", 26));
        assertEquals("5/10,", ProgressDisplay.line("train", 5, 10, ", x", 5));
    }

    @Test
    void impossibleRangesAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> ProgressDisplay.start("train", 0, 0));
        assertThrows(IllegalArgumentException.class, () -> ProgressDisplay.start("train", 10, 11));
        assertThrows(IllegalArgumentException.class, () -> ProgressDisplay.start("train", 10, -1));
    }

    private List<String> lines() {
        return out.toString(StandardCharsets.UTF_8).lines().toList();
    }
}
