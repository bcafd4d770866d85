package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ProfilerRangeTest {
    @TempDir
    private Path folder;

    @Test
    void rangesAreEventsOfTheFlightRecorder() throws IOException {
        List<RecordedEvent> events = recorded(() -> {
            try (ProfilerRange step = ProfilerRange.open("step", 7)) {
                try (ProfilerRange data = ProfilerRange.open("data")) {
                    Thread.onSpinWait();
                }
            }
        });
        assertEquals(List.of("step", "data"), names(events));
        assertEquals(7, events.get(0).getLong("number"));
        assertEquals(-1, events.get(1).getLong("number"));
        assertFalse(events.get(1).getStartTime().isBefore(events.get(0).getStartTime()));
        assertFalse(events.get(1).getEndTime().isAfter(events.get(0).getEndTime()));
        assertEquals(Thread.currentThread().getName(), events.get(0).getThread().getJavaName());
    }

    @Test
    void withoutARecorderAllRangesAreOneObject() {
        assertSame(ProfilerRange.open("step", 1), ProfilerRange.open("data"));
    }

    @Test
    void layersAreLeftOutUnlessAskedFor() throws IOException {
        assertTrue(recorded(() -> ProfilerRange.layer("block", 3).close()).isEmpty());
    }

    @Test
    void aWindowLimitsRanges() throws IOException {
        List<RecordedEvent> events = recorded(() -> {
            try (ProfilerWindow window = new ProfilerWindow()) {
                ProfilerRange.open("before").close();
                window.begin();
                assertTrue(window.isOpen());
                ProfilerRange inside = ProfilerRange.open("inside");
                window.end();
                // A range that has begun is still ended.
                inside.close();
                ProfilerRange.open("after").close();
            }
            ProfilerRange.open("later").close();
        });
        assertEquals(List.of("inside", "later"), names(events));
    }

    private static List<String> names(List<RecordedEvent> events) {
        return events.stream().map(event -> event.getString("phase")).toList();
    }

    /** Returns the ranges of some work, the first begun first. */
    private List<RecordedEvent> recorded(Runnable work) throws IOException {
        Path file = folder.resolve("recording.jfr");
        try (Recording recording = new Recording()) {
            recording.enable(RangeEvent.NAME).withoutThreshold();
            recording.start();
            work.run();
            recording.stop();
            recording.dump(file);
        }
        return RecordingFile.readAllEvents(file).stream()
                .filter(event -> event.getEventType().getName().equals(RangeEvent.NAME))
                .sorted(Comparator.comparing(RecordedEvent::getStartTime))
                .toList();
    }
}
