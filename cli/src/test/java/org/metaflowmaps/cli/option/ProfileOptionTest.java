package org.metaflowmaps.cli.option;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordingFile;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.runtime.ProfilerRange;
import picocli.CommandLine.TypeConversionException;

class ProfileOptionTest {
    private final ProfileOption.Converter converter = new ProfileOption.Converter();

    @TempDir
    private Path folder;

    @Test
    void stepsAreTheFirstAndTheLast() {
        assertEquals(new ProfileOption.Steps(20, 30), converter.convert("20:30"));
        assertEquals(new ProfileOption.Steps(1, 1), converter.convert("1:1"));
    }

    /** Two batches of three steps: steps 3 to 4 are the last of the first and the first of the second. */
    @Test
    void aSamplersStepsAreCountedOverBatches() throws IOException {
        assertEquals(List.of(3L, 4L), recorded(new ProfileOption.Steps(3, 4)));
        assertEquals(List.of(1L, 2L, 3L, 4L, 5L, 6L), recorded(null));
    }

    private List<Long> recorded(ProfileOption.@Nullable Steps steps) throws IOException {
        Path file = folder.resolve("recording.jfr");
        try (Recording recording = new Recording();
                ProfiledSampling profiled = new ProfiledSampling(steps)) {
            recording.enable("org.metaflowmaps.Range").withoutThreshold();
            recording.start();
            SamplingListener listener = profiled.with(SamplingListener.NONE);
            for (int step = 0; step < 6; step++) {
                assertFalse(listener.isCancelled());
                ProfilerRange.open("sampler step", step + 1).close();
                listener.stepDone(step % 3 + 1, 3);
            }
            recording.stop();
            recording.dump(file);
        }
        return RecordingFile.readAllEvents(file).stream()
                .filter(event -> event.getEventType().getName().equals("org.metaflowmaps.Range"))
                .map(event -> event.getLong("number"))
                .sorted()
                .toList();
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "20", "20:", ":30", "20-30", "a:b", "-1:3", "0:3", "30:20"})
    void otherTextIsRefused(String text) {
        assertRefused(TypeConversionException.class, () -> converter.convert(text), "'" + text + "'");
    }
}
