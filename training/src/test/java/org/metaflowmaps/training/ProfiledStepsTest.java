package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.data.TrainingData;

final class ProfiledStepsTest {
    private static final String EVENT = "org.metaflowmaps.Range";

    @TempDir
    private Path folder;

    /** All phases of a step with a derivative, for the chosen steps only. */
    @Test
    void theChosenStepsAreRecordedWithTheirPhases() throws IOException {
        Runs runs = new Runs();
        runs.consistency = LossConfig.ConsistencyKind.MEAN_FLOW;
        List<RecordedEvent> events = recorded(runs, new ProfiledSteps(3, 4));
        List<RecordedEvent> steps = named(events, "step");
        assertEquals(
                List.of(3L, 4L),
                steps.stream().map(step -> step.getLong("number")).toList());
        for (String phase : List.of("data", "draw", "forward", "network", "tangent", "backward", "clip", "optimizer")) {
            List<RecordedEvent> found = named(events, phase);
            assertTrue(found.size() >= 2, phase + ": " + found.size());
            for (RecordedEvent event : found) {
                assertTrue(steps.stream().anyMatch(step -> isInside(event, step)), phase + " is outside of all steps");
            }
        }
    }

    @Test
    void stepsOutsideTheRunRecordNothing() throws IOException {
        assertEquals(List.of(), recorded(new Runs(), new ProfiledSteps(90, 99)));
    }

    @Test
    void impossibleStepsAreRefused() {
        assertRefused(() -> new ProfiledSteps(0, 3), "0 to 3");
        assertRefused(() -> new ProfiledSteps(5, 4), "5 to 4");
    }

    private static boolean isInside(RecordedEvent inner, RecordedEvent outer) {
        return !inner.getStartTime().isBefore(outer.getStartTime())
                && !inner.getEndTime().isAfter(outer.getEndTime());
    }

    private static List<RecordedEvent> named(List<RecordedEvent> events, String phase) {
        return events.stream()
                .filter(event -> phase.equals(event.getString("phase")))
                .toList();
    }

    private List<RecordedEvent> recorded(Runs runs, RunListener listener) throws IOException {
        Path file = folder.resolve("recording.jfr");
        try (Recording recording = new Recording();
                TrainingData data = runs.data();
                TrainingRun run = new TrainingRun(runs.config(), data, Device.CPU, folder.resolve("run"))) {
            recording.enable(EVENT).withoutThreshold();
            recording.start();
            run.run(listener);
            recording.stop();
            recording.dump(file);
        }
        return RecordingFile.readAllEvents(file).stream()
                .filter(event -> event.getEventType().getName().equals(EVENT))
                .sorted(Comparator.comparing(RecordedEvent::getStartTime))
                .toList();
    }
}
