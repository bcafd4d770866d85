package org.metaflowmaps.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.training.CheckpointFolder;
import org.metaflowmaps.training.TrainingRun;
import org.slf4j.LoggerFactory;

/** Checkpoints of earlier versions. */
final class OlderCheckpointTest {
    @TempDir
    private Path folder = Path.of("");

    private static List<String> warnings(Path run, String steps) {
        Logger logger = (Logger) LoggerFactory.getLogger(TrainingRun.class);
        ListAppender<ILoggingEvent> seen = new ListAppender<>();
        seen.start();
        logger.addAppender(seen);
        try {
            mfm("train", run.resolve("config.yaml").toString(), "--out", run.toString(), "--resume", "steps=" + steps)
                    .succeeded();
        } finally {
            logger.detachAppender(seen);
        }
        return seen.list.stream()
                .map(ILoggingEvent::getFormattedMessage)
                .filter(line -> line.contains("losses"))
                .toList();
    }

    /** Changes the newest checkpoint to the first version of the losses and deletes the others. */
    private static void age(Path run) throws IOException {
        Path newest = run.resolve(CheckpointFolder.CHECKPOINT);
        try (SafetensorsFile file = SafetensorsFile.open(newest);
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            file.entries()
                    .keySet()
                    .forEach(name ->
                            tensors.put(name, Safetensors.view(file, name).clone()));
            Map<String, String> metadata = new LinkedHashMap<>(file.metadata());
            assertEquals("2", metadata.remove("losses_version"));
            metadata.remove("sha256");
            Files.delete(newest);
            Safetensors.writeSealed(newest, metadata, tensors);
        }
        for (String name : Command.files(run.resolve("checkpoints"))) {
            Files.delete(run.resolve("checkpoints").resolve(name));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "alpha-flow, adaptive, 1, 9, true",
        "alpha-flow, lv, 1, 9, true",
        "alpha-flow, learned, 1, 9, true",
        "alpha-flow, adaptive, 0, 9, false",
        "alpha-flow, l2, 1, 9, false",
        "alpha-flow, adaptive, 1, 2, false",
        "psd, adaptive, 1, 9, false"
    })
    void aChangedTargetOfAlphaFlowIsReportedOnce(String loss, String weighting, int p, int to, boolean changed)
            throws IOException {
        Path run = folder.resolve("run");
        tiny(
                        "train",
                        "quickstart",
                        "--out",
                        run.toString(),
                        "--device",
                        "cpu",
                        "loss.consistency=" + loss,
                        "loss.alpha_to=" + to,
                        "loss.consistency_weighting={kind: " + weighting + ", p: " + p + ", c: 0.01}")
                .succeeded();
        age(run);
        assertEquals(List.of(), warnings(run, "4"), "no step is left");
        List<String> found = warnings(run, "6");
        assertEquals(changed ? 1 : 0, found.size(), found::toString);
        if (changed) {
            assertTrue(
                    found.getFirst()
                            .startsWith("warning: " + run.resolve(CheckpointFolder.CHECKPOINT)
                                    + " was written with version 1 of the losses: from step 4 on"),
                    found::toString);
        }
        assertEquals(List.of(), warnings(run, "7"));
    }
}
