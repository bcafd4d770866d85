package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.data.MixtureData;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.metrics.MetricsLog;

final class TrainerTest {
    @TempDir
    private Path folder;

    private static float[] weights(TrainingRun trainer) {
        try (TensorScope scope = TensorScope.open()) {
            return trainer.map().parameters().values().toFloatArray();
        }
    }

    private float[] saved(String name) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve(CheckpointFolder.CHECKPOINT));
                TensorScope scope = TensorScope.open()) {
            return Safetensors.view(file, name).toFloatArray();
        }
    }

    /** A mixture with only NaN items. */
    private static TrainingData spoiled() {
        TrainingData whole = new MixtureData(List.of(new double[2], new double[2], new double[2]), 1, 1, Device.CPU);
        return new TrainingData() {
            @Override
            public Shape itemShape() {
                return whole.itemShape();
            }

            @Override
            public int classes() {
                return whole.classes();
            }

            @Override
            public Batch batch(long position, int count) {
                Batch batch = whole.batch(position, count);
                return new Batch(batch.items().mul(Double.NaN), batch.labels());
            }

            @Override
            public void close() {
                whole.close();
            }
        };
    }

    /** Two passes of 4 items give the mean of the gradients of each pass. */
    @ParameterizedTest
    @ValueSource(strings = {"mlp", "transformer"})
    void accumulationAveragesGradientsAndLosses(String kind) throws IOException {
        Runs runs = new Runs();
        runs.model = kind.equals("mlp") ? Runs.MLP : Runs.TRANSFORMER;
        // A rate that changes no weight, so that both passes use the same network.
        runs.learningRate = 1e-30;
        runs.clip = 0;
        double[] expected;
        double loss = 0;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder);
                TensorScope scope = TensorScope.open()) {
            expected = new double[(int) trainer.map().parameters().gradients().numel()];
            for (int pass = 0; pass < 2; pass++) {
                Trainer.Report report = trainer.takeStepAndRead();
                assertNotNull(report);
                loss += report.error("diagonal") / 2;
                double[] gradients = trainer.map().parameters().gradients().toDoubleArray();
                for (int i = 0; i < expected.length; i++) {
                    expected[i] += gradients[i] / 2;
                }
            }
        }
        runs.accumulate = 2;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder);
                TensorScope scope = TensorScope.open()) {
            Trainer.Report report = trainer.takeStepAndRead();
            assertNotNull(report);
            assertEquals(loss, report.error("diagonal"), 1e-5 * loss);
            double[] gradients = trainer.map().parameters().gradients().toDoubleArray();
            assertArrayEquals(expected, gradients, 1e-5 * report.gradientNorm());
            assertTrue(report.gradientNorm() > 0);
        }
    }

    @Test
    void aStepThatIsNotReadIsTheSameStep() throws IOException {
        Runs runs = new Runs();
        float[][] after = new float[2][];
        for (int i = 0; i < 2; i++) {
            try (TrainingData data = runs.data();
                    TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
                if (i == 0) {
                    trainer.takeStepAndRead();
                } else {
                    trainer.takeStep();
                }
                after[i] = weights(trainer);
            }
        }
        assertArrayEquals(after[0], after[1]);
    }

    @Test
    void clippingBoundsTheGradientButNotTheReportedNorm() throws IOException {
        Runs runs = new Runs();
        runs.clip = 1e-3;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder);
                TensorScope scope = TensorScope.open()) {
            Trainer.Report report = trainer.takeStepAndRead();
            assertNotNull(report);
            assertTrue(report.gradientNorm() > 0.1);
            assertEquals(1e-3, trainer.map().parameters().gradients().norm().item(), 1e-6);
        }
    }

    @Test
    void metricsAreLoggedAsOftenAsConfigured() throws IOException {
        Runs runs = new Runs();
        runs.steps = 8;
        runs.logEvery = 3;
        run(runs);
        assertEquals(
                List.of(3L, 6L, 8L),
                MetricsLog.read(folder.resolve(TrainingRun.METRICS)).stream()
                        .map(MetricsLog.Entry::step)
                        .toList());
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(
                    1,
                    files.filter(file -> file.getFileName().toString().startsWith("events.out.tfevents."))
                            .count());
        }
    }

    private void run(Runs runs) throws IOException {
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.run();
        }
    }

    @Test
    void theLearningRateRisesStaysAndFalls() throws IOException {
        Runs runs = new Runs();
        runs.steps = 8;
        runs.warmUp = 2;
        runs.decay = 4;
        runs.learningRate = 1e-3;
        run(runs);
        double[] rates = MetricsLog.read(folder.resolve(TrainingRun.METRICS)).stream()
                .mapToDouble(entry -> entry.values().getOrDefault("learning_rate", Double.NaN))
                .toArray();
        // The decay of four steps begins at the full rate and would reach zero at the step after the last.
        assertArrayEquals(new double[] {1e-4, 5.5e-4, 1e-3, 1e-3, 1e-3, 7.5e-4, 5e-4, 2.5e-4}, rates, 1e-12);
    }

    /** Callers of step() may continue after the configured end: at the full rate, or at zero after a decay. */
    @ParameterizedTest
    @ValueSource(longs = {0, 2})
    void stepsBeyondTheEndDoNoHarm(long decay) throws IOException {
        Runs runs = new Runs();
        runs.steps = 3;
        runs.decay = decay;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            for (int i = 0; i < 6; i++) {
                Trainer.Report report = trainer.takeStepAndRead();
                assertNotNull(report);
                assertTrue(
                        i < 3 || report.learningRate() == (decay == 0 ? runs.learningRate : 0),
                        "step " + i + ": " + report);
            }
        }
    }

    /** With this rate the first step is taken, and the second has a loss that is not finite. */
    private static Runs exploding() {
        Runs runs = new Runs();
        runs.learningRate = 1e30;
        runs.clip = 0;
        return runs;
    }

    @Test
    void anExplodingLossStopsTheRunAndLeavesTheLastGoodState() throws IOException {
        Runs runs = exploding();
        runs.checkpointEvery = 1;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            assertRefused(
                    TrainingException.class,
                    trainer::run,
                    "step 1:",
                    "not finite",
                    "1 steps in a row",
                    "diagonal",
                    "consistency",
                    "gradient norm",
                    folder.resolve(CheckpointFolder.CHECKPOINT).toString(),
                    "optimizer.learning_rate");
            assertEquals(1, trainer.step());
            assertArrayEquals(saved("train/values"), weights(trainer));
        }
        try (MetaFlowMap map = Networks.load(folder.resolve(CheckpointFolder.CHECKPOINT), Device.CPU)) {
            assertEquals(3, map.classes());
        }
    }

    @Test
    void checkpointsAreWrittenAsOftenAsConfigured() throws IOException {
        Runs runs = exploding();
        runs.checkpointEvery = 2;
        assertRefused(TrainingException.class, () -> run(runs), "step 1:", "No checkpoint was written yet");
        assertFalse(Files.exists(folder.resolve(CheckpointFolder.CHECKPOINT)));
    }

    @Test
    void weightsThatAreNotFiniteAreNeverSaved() throws IOException {
        Runs runs = exploding();
        runs.learningRate = 1e300;
        runs.checkpointEvery = 1;
        assertRefused(
                TrainingException.class,
                () -> run(runs),
                "step 0:",
                "weights are not finite",
                "optimizer.learning_rate");
        assertFalse(Files.exists(folder.resolve(CheckpointFolder.CHECKPOINT)));
    }

    @Test
    void spoiledDataLeavesTheWeightsAlone() throws IOException {
        Runs runs = new Runs();
        try (TrainingData data = spoiled();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            float[] before = weights(trainer);
            assertRefused(
                    TrainingException.class,
                    () -> trainer.takeStepAndRead(),
                    "step 0:",
                    "diagonal NaN",
                    "check the data");
            assertArrayEquals(before, weights(trainer));
            assertEquals(0, trainer.step());
        }
    }

    /** Returns a state as bits: weights, moments, average. */
    private List<float[]> state(TrainingRun trainer) throws IOException {
        trainer.save();
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve(CheckpointFolder.CHECKPOINT));
                TensorScope scope = TensorScope.open()) {
            Stream<String> network =
                    trainer.map().parameters().parameters().keySet().stream().map(name -> "dit." + name);
            return Stream.concat(Stream.of("train/values", "train/moment/exp_avg", "train/moment/exp_avg_sq"), network)
                    .map(name -> Safetensors.view(file, name).toFloatArray())
                    .toList();
        }
    }

    @ParameterizedTest
    @EnumSource
    void aSkippedStepChangesNothingButTheNoiseAndTheData(OptimizerConfig.Kind optimizer) throws IOException {
        Runs runs = new Runs();
        runs.optimizer = optimizer;
        runs.maxSkipped = 3;
        List<float[]> before;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.takeStep();
            before = state(trainer);
        }
        try (TrainingData data = spoiled();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.resume();
            for (int skipped = 1; skipped <= 2; skipped++) {
                Trainer.Report report = trainer.takeStepAndRead();
                assertNotNull(report);
                assertEquals(skipped, report.skipped());
                assertTrue(Double.isNaN(report.gradientNorm()), report.toString());
            }
            assertEquals(3, trainer.step());
            List<float[]> after = state(trainer);
            for (int i = 0; i < before.size(); i++) {
                assertArrayEquals(before.get(i), after.get(i));
            }
        }
        // A resumed run remembers them: one more is too many.
        try (TrainingData data = spoiled();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.resume();
            assertRefused(TrainingException.class, () -> trainer.takeStepAndRead(), "step 3:", "3 steps in a row");
        }
        // With good data it continues, and the optimiser has counted only its updates.
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.resume();
            Trainer.Report report = trainer.takeStepAndRead();
            assertNotNull(report);
            assertEquals(2, report.skipped());
            state(trainer);
            try (SafetensorsFile file = SafetensorsFile.open(folder.resolve(CheckpointFolder.CHECKPOINT))) {
                assertEquals(
                        List.of("4", "2", "2", "0", "16"),
                        Stream.of("step", "updates", "skipped", "skipped_in_a_row", "data_position")
                                .map(file.metadata()::get)
                                .toList());
            }
        }
    }

    /** The bound applies to the norm before clipping; steps below it equal those of a run without a bound. */
    @Test
    void stepsWhoseGradientIsTooLargeAreSkipped() throws IOException {
        Runs runs = new Runs();
        runs.learningRate = 1e-30;
        double[] norms = new double[6];
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            for (int i = 0; i < norms.length; i++) {
                Trainer.Report report = trainer.takeStepAndRead();
                assertNotNull(report);
                norms[i] = report.gradientNorm();
            }
        }
        double[] sorted = norms.clone();
        Arrays.sort(sorted);
        runs.skipAbove = (sorted[2] + sorted[3]) / 2;
        runs.maxSkipped = 4;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            long skipped = 0;
            for (double norm : norms) {
                Trainer.Report report = trainer.takeStepAndRead();
                assertNotNull(report);
                assertEquals(norm, report.gradientNorm(), 1e-6 * norm);
                skipped += norm > runs.skipAbove ? 1 : 0;
                assertEquals(skipped, report.skipped());
            }
            assertEquals(3, skipped);
        }
    }

    /** Skipped steps are counted on the device: the next read finds a sequence that has ended. */
    @Test
    void tooManySkippedStepsAreFoundWhenTheyAreRead() throws IOException {
        Runs runs = new Runs();
        runs.learningRate = 1e-30;
        runs.maxSkipped = 2;
        runs.skipAbove = 1e-9;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            float[] before = weights(trainer);
            for (int i = 0; i < 4; i++) {
                trainer.takeStep();
            }
            assertEquals(4, trainer.step());
            assertRefused(TrainingException.class, () -> trainer.takeStepAndRead(), "step 4:", "5 steps in a row");
            assertArrayEquals(before, weights(trainer));
        }
    }

    @Test
    void spoiledDataLeavesTheCheckpointAlone() throws IOException {
        Runs runs = new Runs();
        runs.steps = 2;
        runs.maxSkipped = 3;
        run(runs);
        byte[] good = Files.readAllBytes(folder.resolve(CheckpointFolder.CHECKPOINT));
        runs.steps = 6;
        runs.checkpointEvery = 1;
        try (TrainingData data = spoiled();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.resume();
            assertRefused(
                    TrainingException.class,
                    trainer::run,
                    "step 4:",
                    "3 steps in a row",
                    "The last good checkpoint is");
        }
        assertArrayEquals(good, Files.readAllBytes(folder.resolve(CheckpointFolder.CHECKPOINT)));
    }

    @Test
    void anInterruptedWriteLeavesTheOldCheckpoint() throws IOException {
        Runs runs = new Runs();
        run(runs);
        byte[] old = Files.readAllBytes(folder.resolve(CheckpointFolder.CHECKPOINT));
        List<Path> files = files();
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.takeStepAndRead();
            Thread.currentThread().interrupt();
            try {
                assertRefused(
                        IOException.class,
                        trainer::save,
                        "cannot write " + folder.resolve("checkpoints"),
                        "interrupted");
            } finally {
                assertTrue(Thread.interrupted());
            }
        }
        assertArrayEquals(old, Files.readAllBytes(folder.resolve(CheckpointFolder.CHECKPOINT)));
        assertEquals(files, files());
    }

    private List<Path> files() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().toList();
        }
    }

    @Test
    void aFileInPlaceOfTheFolderIsRefused() throws IOException {
        Path file = Files.writeString(folder.resolve("run"), "mine");
        Runs runs = new Runs();
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, file)) {
            assertRefused(IOException.class, trainer::run, file.toString());
            assertRefused(IOException.class, trainer::save, file.toString(), "not a folder");
        }
        assertEquals("mine", Files.readString(file));
        assertEquals(List.of(file), files());
    }

    @Test
    void aNetworkThatDoesNotFitTheDataIsRefused() throws IOException {
        long before = NativeMemory.liveTensors();
        Runs runs = new Runs();
        try (TrainingData data = runs.data()) {
            runs.model = ModelConfig.of(SmallNetworks.mlpConfig(3, 4, 1, 3));
            assertRefused(
                    () -> new TrainingRun(runs.config(), data, Device.CPU, folder), "[3] with 3 classes", "[2] with 3");
            runs.model = ModelConfig.of(SmallNetworks.mlpConfig(2, 4, 1, 5));
            assertRefused(
                    () -> new TrainingRun(runs.config(), data, Device.CPU, folder), "[2] with 5 classes", "[2] with 3");
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    @ParameterizedTest
    @ValueSource(strings = {"mlp", "transformer"})
    void stepsAndClosingLeaveNothingBehind(String kind) throws IOException {
        long tensors = NativeMemory.liveTensors();
        long bytes = NativeMemory.liveBytes();
        Runs runs = new Runs();
        runs.model = kind.equals("mlp") ? Runs.MLP : Runs.TRANSFORMER;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.takeStepAndRead();
            long between = NativeMemory.liveTensors();
            long betweenBytes = NativeMemory.liveBytes();
            for (int i = 0; i < 300; i++) {
                if (i % 3 == 0) {
                    trainer.takeStepAndRead();
                } else {
                    trainer.takeStep();
                }
                assertEquals(between, NativeMemory.liveTensors(), "tensors after step " + i);
                assertEquals(betweenBytes, NativeMemory.liveBytes(), "bytes after step " + i);
            }
        }
        assertEquals(tensors, NativeMemory.liveTensors());
        assertEquals(bytes, NativeMemory.liveBytes());
    }

    @Test
    void aRunThatFailsLeavesNothingBehind() throws IOException {
        long tensors = NativeMemory.liveTensors();
        assertRefused(TrainingException.class, () -> run(exploding()), "step 1:");
        assertEquals(tensors, NativeMemory.liveTensors());
    }
}
