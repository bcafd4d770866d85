package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.config.WeightingConfig;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.metrics.MetricsLog;

/** A stopped and resumed run equals a run that never stopped. */
final class TrainerResumeTest {
    /** Enough steps for rectified Adam to end its plain momentum phase. */
    private static final int STEPS = 8;

    @TempDir
    private Path folder;

    private static byte[] checkpoint(Path run) throws IOException {
        return Files.readAllBytes(run.resolve(CheckpointFolder.CHECKPOINT));
    }

    /**
     * A checkpoint contains the whole state, so equal files mean equal weights, moments, average, noise and step, bit
     * by bit.
     */
    @ParameterizedTest
    @CsvSource({
        "mlp, RADAM, L2",
        "mlp, ADAMW, L2",
        "mlp, ADAMW, LEARNED",
        "transformer, RADAM, L2",
        "transformer, ADAMW, L2",
        "transformer in bfloat16, ADAMW, L2"
    })
    void goingOnAfterAnyStepEndsInTheSameCheckpoint(
            String kind, OptimizerConfig.Kind optimizer, WeightingConfig.Kind weighting) throws IOException {
        Runs runs = new Runs();
        runs.precision = kind.endsWith("bfloat16") ? Precision.BFLOAT16 : Precision.FLOAT32;
        runs.weighting = weighting;
        runs.model = kind.equals("mlp") ? Runs.MLP : Runs.TRANSFORMER;
        runs.optimizer = optimizer;
        runs.steps = STEPS;
        runs.warmUp = 3;
        runs.decay = 3;
        runs.accumulate = 2;
        TrainConfig config = runs.config();
        Path whole = folder.resolve("whole");
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(config, data, Device.CPU, whole)) {
            trainer.run();
        }
        byte[] expected = checkpoint(whole);
        for (int stopped = 0; stopped < STEPS; stopped++) {
            Path run = folder.resolve("stopped" + stopped);
            try (TrainingData data = runs.data();
                    TrainingRun trainer = new TrainingRun(config, data, Device.CPU, run)) {
                for (int i = 0; i < stopped; i++) {
                    if (i % 2 == 0) {
                        trainer.takeStepAndRead();
                    } else {
                        trainer.takeStep();
                    }
                }
                trainer.save();
            }
            try (TrainingData data = runs.data();
                    TrainingRun trainer = new TrainingRun(config, data, Device.CPU, run)) {
                trainer.resume();
                assertEquals(stopped, trainer.step());
                trainer.run();
            }
            assertArrayEquals(expected, checkpoint(run), "stopped after " + stopped);
        }
    }

    /** Files of earlier versions have the average twice: as the network, and as one buffer, which is used. */
    @ParameterizedTest
    @ValueSource(strings = {"mlp", "transformer"})
    void aFileWithTheAverageAsABufferIsResumed(String kind) throws IOException {
        Runs runs = new Runs();
        runs.model = kind.equals("mlp") ? Runs.MLP : Runs.TRANSFORMER;
        runs.steps = STEPS;
        Path whole = folder.resolve("whole");
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, whole)) {
            trainer.run();
        }
        Path run = folder.resolve("old");
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, run)) {
            for (int i = 0; i < 5; i++) {
                trainer.takeStep();
            }
            trainer.save();
            Path newest = run.resolve(CheckpointFolder.CHECKPOINT);
            try (SafetensorsFile file = SafetensorsFile.open(newest);
                    TensorScope scope = TensorScope.open()) {
                assertFalse(file.entries().containsKey("train/average"), "the average is stored twice");
                Map<String, Tensor> tensors = new LinkedHashMap<>();
                file.entries()
                        .keySet()
                        .forEach(name ->
                                tensors.put(name, Safetensors.view(file, name).clone()));
                tensors.put("train/average", trainer.average().values());
                Map<String, String> metadata = new LinkedHashMap<>(file.metadata());
                metadata.remove("sha256");
                Files.delete(newest);
                Safetensors.writeSealed(newest, metadata, tensors);
            }
            Files.delete(run.resolve("checkpoints").resolve("step-000000005.safetensors"));
        }
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, run)) {
            trainer.resume();
            assertEquals(5, trainer.step());
            trainer.run();
        }
        assertArrayEquals(checkpoint(whole), checkpoint(run));
    }

    @Test
    void theMetricsOfAResumedRunAreOneLog() throws IOException {
        Runs runs = new Runs();
        runs.steps = 3;
        run(runs);
        runs.steps = 6;
        resumed(runs);
        List<MetricsLog.Entry> log = MetricsLog.read(folder.resolve(TrainingRun.METRICS));
        assertEquals(
                List.of(1L, 2L, 3L, 4L, 5L, 6L),
                log.stream().map(MetricsLog.Entry::step).toList());
        for (int i = 1; i < log.size(); i++) {
            assertTrue(log.get(i).seconds() > log.get(i - 1).seconds(), "time went on at line " + i);
        }
    }

    private void run(Runs runs) throws IOException {
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.run();
        }
    }

    private void resumed(Runs runs) throws IOException {
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.resume();
            trainer.run();
        }
    }

    @Test
    void aFinishedRunStaysAsItIs() throws IOException {
        Runs runs = new Runs();
        run(runs);
        byte[] before = checkpoint(folder);
        resumed(runs);
        assertArrayEquals(before, checkpoint(folder));
        runs.steps = 4;
        assertRefused(() -> resumed(runs), "steps is 4", "5 already");
        assertArrayEquals(before, checkpoint(folder));
    }

    @Test
    void withoutACheckpointThereIsNothingToResume() {
        assertRefused(NoSuchFileException.class, () -> resumed(new Runs()), CheckpointFolder.CHECKPOINT);
    }

    /** With two or four heads all tensors have the same shapes, but the networks differ. */
    @Test
    void anotherNetworkIsRefusedEvenIfItsShapesFit() throws IOException {
        Runs runs = new Runs();
        runs.model = Runs.transformer(2);
        run(runs);
        runs.model = Runs.transformer(4);
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder);
                TensorScope scope = TensorScope.open()) {
            float[] fresh = trainer.map().parameters().values().toFloatArray();
            assertRefused(
                    IOException.class,
                    trainer::resume,
                    "step-000000005.safetensors",
                    "another network",
                    "choose another output folder");
            assertArrayEquals(fresh, trainer.map().parameters().values().toFloatArray());
            assertEquals(0, trainer.step());
        }
    }

    /** The file names the right network, but a part of the state is missing or misshapen: nothing is loaded. */
    @ParameterizedTest
    @CsvSource({"missing", "short", "random", "step", "network"})
    void aPartOfAStateIsRefusedWhole(String damage) throws IOException {
        Runs runs = new Runs();
        runs.consistency = LossConfig.ConsistencyKind.NONE;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder);
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            long count = trainer.map().parameters().count();
            float[] fresh = trainer.map().parameters().values().toFloatArray();
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            for (String name : List.of("values", "average", "moment/exp_avg", "moment/exp_avg_sq")) {
                tensors.put("train/" + name, Torch.zeros(count));
            }
            tensors.put("train/random", random.state());
            Map<String, String> metadata = new LinkedHashMap<>();
            metadata.put(
                    "network",
                    "{\"transformer\":null,\"mlp\":{\"dimension\":2,\"width\":16,\"depth\":1,\"label_dim\":3}}");
            metadata.put("step", "3");
            switch (damage) {
                case "missing" -> tensors.remove("train/moment/exp_avg_sq");
                case "short" -> tensors.put("train/average", Torch.zeros(count - 1));
                case "random" -> tensors.put("train/random", Torch.zeros(4));
                case "network" -> tensors.remove("train/average");
                default -> metadata.put("step", "three");
            }
            Safetensors.write(folder.resolve(CheckpointFolder.CHECKPOINT), metadata, tensors);
            assertRefused(IOException.class, trainer::resume, CheckpointFolder.CHECKPOINT, "cannot be resumed");
            assertArrayEquals(fresh, trainer.map().parameters().values().toFloatArray());
            assertEquals(0, trainer.step());
        }
    }
}
