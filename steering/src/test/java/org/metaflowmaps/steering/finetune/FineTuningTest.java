package org.metaflowmaps.steering.finetune;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.checkpoint.LoadedNetwork;
import org.metaflowmaps.models.checkpoint.NetworkSettings;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.training.CheckpointFolder;
import org.metaflowmaps.training.RunListener;
import org.metaflowmaps.training.TrainingRun;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.MixtureData;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.metrics.MetricsLog;

/** A fine-tuning run on a small mixture, with a briefly trained base map. */
final class FineTuningTest {
    private static final List<double[]> MEANS =
            List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3});
    private static final int STEPS = 6;

    @TempDir
    private Path folder;

    private long live;

    /** r = x₁ - x₂/2, or broken. */
    private static final class Linear implements Reward {
        private int breakAt = -1;

        @Override
        public String name() {
            return "linear";
        }

        @Override
        public Tensor score(Tensor samples, Condition condition) {
            Tensor score = samples.select(1, 0).sub(samples.select(1, 1).mul(0.5));
            return breakAt-- == 0 ? score.mul(Double.NaN) : score;
        }

        @Override
        public boolean takesStates() {
            return true;
        }
    }

    private static TrainingData data() {
        return new MixtureData(MEANS, 0.5, 3, Device.CPU);
    }

    @BeforeEach
    void trainABase() throws IOException {
        live = NativeMemory.liveTensors();
        TrainConfig config = TrainConfig.load(
                "mixture/meta-flow-map",
                "steps=4",
                "batch=16",
                "model.mlp.width=16",
                "model.mlp.depth=1",
                "evaluate_every=0");
        try (TrainingData data = data();
                TrainingRun run = new TrainingRun(config, data, Device.CPU, base())) {
            run.run();
        }
    }

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private Path base() {
        return folder.resolve("base");
    }

    private LoadedNetwork loaded() throws IOException {
        return Networks.open(base().resolve(CheckpointFolder.CHECKPOINT), NetworkSettings.none(), Device.CPU);
    }

    private static FineTuneConfig.Builder config() {
        return FineTuneConfig.builder()
                .steps(STEPS)
                .batch(8)
                .accumulate(2)
                .learningRate(1e-3)
                .warmUp(2)
                .averageStart(1)
                .averageDecay(0.9)
                .shiftItems(20)
                .logEvery(1)
                .maxSkipped(2);
    }

    /** One session of a run. */
    private final class Session implements AutoCloseable {
        final LoadedNetwork base = loaded();
        final TrainingData data = data();
        final FineTuning run;

        Session(Path out, FineTuneConfig config, Reward reward, @Nullable IndependentReward independent)
                throws IOException {
            run = new FineTuning(
                    base, data, new Tilt(reward, 2), config, Optional.ofNullable(independent), Device.CPU, out);
        }

        @Override
        public void close() {
            run.close();
            data.close();
            base.close();
        }
    }

    private static byte[] checkpoint(Path out) throws IOException {
        return Files.readAllBytes(out.resolve(CheckpointFolder.CHECKPOINT));
    }

    /**
     * A checkpoint contains the whole state, so equal files mean equal weights, moments, average, shifts, noise and
     * step, bit by bit.
     */
    @Test
    void aResumedRunEndsInTheSameCheckpoint() throws IOException {
        Path whole = folder.resolve("whole");
        try (Session session = new Session(whole, config().build(), new Linear(), null)) {
            assertTrue(session.run.run(new RunListener() {}));
        }
        for (int stopped : new int[] {1, 3, 5}) {
            Path out = folder.resolve("stopped" + stopped);
            try (Session session = new Session(out, config().build(), new Linear(), null)) {
                for (int step = 0; step < stopped; step++) {
                    session.run.takeStep();
                }
                session.run.save();
            }
            try (Session session = new Session(out, config().build(), new Linear(), null)) {
                session.run.resume();
                assertEquals(stopped, session.run.step());
                assertTrue(session.run.run(new RunListener() {}));
            }
            assertArrayEquals(checkpoint(whole), checkpoint(out), "stopped after " + stopped);
        }
        try (SafetensorsFile file = SafetensorsFile.open(whole.resolve(CheckpointFolder.CHECKPOINT));
                TensorScope scope = TensorScope.open()) {
            double[] shifts =
                    Safetensors.view(file, "train/more/shift/log_means").toDoubleArray();
            assertEquals(MEANS.size() + 2, shifts.length);
            assertTrue(shifts[0] != shifts[1], "each class has its own shift");
        }
    }

    /** The file contains the averaged student, and the base is not changed. */
    @Test
    void theStudentIsLoadedLikeAnyNetwork() throws IOException {
        Path out = folder.resolve("out");
        try (Session session = new Session(out, config().build(), new Linear(), null);
                TensorScope scope = TensorScope.open()) {
            float[] before = session.base.map().parameters().values().toFloatArray();
            session.run.run(new RunListener() {});
            assertArrayEquals(before, session.base.map().parameters().values().toFloatArray());
            try (MetaFlowMap student = Networks.load(out.resolve(CheckpointFolder.CHECKPOINT), Device.CPU)) {
                float[] learned = student.parameters().values().toFloatArray();
                assertArrayEquals(session.run.averaged().parameters().values().toFloatArray(), learned);
                assertFalse(Arrays.equals(before, learned), "nothing was learned");
            }
        }
        List<MetricsLog.Entry> log = MetricsLog.read(out.resolve(TrainingRun.METRICS));
        assertEquals(STEPS, log.size());
        for (String name : List.of("loss/fine_tune", "reward", "shift", "weight/ess", "drift_distance", "strength")) {
            assertTrue(
                    Double.isFinite(
                            Objects.requireNonNull(log.getLast().values().get(name), name)),
                    name);
        }
    }

    /** A step with a NaN reward is skipped, and the run continues. */
    @Test
    void aBrokenRewardSkipsItsStep() throws IOException {
        Linear reward = new Linear();
        Path out = folder.resolve("out");
        try (Session session = new Session(out, config().accumulate(1).build(), reward, null);
                TensorScope scope = TensorScope.open()) {
            session.run.takeStep();
            float[] before = session.run.averaged().parameters().values().toFloatArray();
            reward.breakAt = 0;
            assertEquals(1, session.run.takeStepAndRead().skipped());
            assertArrayEquals(
                    before, session.run.averaged().parameters().values().toFloatArray());
            assertTrue(session.run.run(new RunListener() {}));
        }
    }

    @Test
    void anotherRewardStrengthOrBaseIsRefused() throws IOException {
        Path out = folder.resolve("out");
        try (Session session = new Session(out, config().build(), new Linear(), null)) {
            session.run.run(new RunListener() {});
        }
        FineTuneConfig other =
                config().loss(FineTuneLoss.builder().trust(0.1).build()).build();
        try (Session session = new Session(out, other, new Linear(), null)) {
            assertRefused(IOException.class, session.run::resume, "trust is 0.1, was 0.0", "another output folder");
        }
        try (Session session =
                new Session(out, config().steps(7).learningRate(1e-5).build(), new Linear(), null)) {
            session.run.resume();
            assertTrue(session.run.run(new RunListener() {}), "length and rate may change");
        }
        trainABase("seed=11");
        try (Session session = new Session(out, config().build(), new Linear(), null)) {
            assertRefused(IOException.class, session.run::resume, "base_crc32c");
        }
    }

    private void trainABase(String change) throws IOException {
        new CheckpointFolder(base()).clear();
        TrainConfig config = TrainConfig.load(
                "mixture/meta-flow-map", "steps=4", "batch=16", "model.mlp.width=16", "model.mlp.depth=1", change);
        try (TrainingData data = data();
                TrainingRun run = new TrainingRun(config, data, Device.CPU, base())) {
            run.run();
        }
    }

    /** The best checkpoint is kept under its own name, and the run ends when the independent reward falls. */
    @Test
    void theIndependentRewardEndsTheRun() throws IOException {
        double[] scores = {1, 3, 2, 1};
        Path out = folder.resolve("out");
        FineTuneConfig config = config().steps(20).evaluateEvery(2).patience(2).build();
        try (Session session = new Session(out, config, new Linear(), (map, step) -> scores[(int) step / 2 - 1])) {
            assertFalse(session.run.run(new RunListener() {}));
            assertEquals(8, session.run.step());
        }
        try (SafetensorsFile best = SafetensorsFile.open(out.resolve(FineTuning.BEST))) {
            assertEquals("4", best.metadata().get("step"));
        }
        try (Session session = new Session(out, config, new Linear(), (map, step) -> 9)) {
            session.run.resume();
            assertFalse(session.run.run(new RunListener() {}), "a stopped run stays stopped");
            assertEquals(8, session.run.step());
        }
    }

    /** Other numbers of an evaluation are logged; without a score nothing is kept as best, and the run does not end. */
    @Test
    void evaluationsMayHaveOtherNumbersAndNoScore() throws IOException {
        Path out = folder.resolve("out");
        IndependentReward measures = new IndependentReward() {
            @Override
            public double of(MetaFlowMap student, long step) {
                throw new IllegalStateException("a run calls measure");
            }

            @Override
            public Result measure(MetaFlowMap student, long step) {
                return new Result(OptionalDouble.empty(), Map.of("average/diversity", (double) step));
            }
        };
        FineTuneConfig config = config().evaluateEvery(2).patience(1).build();
        try (Session session = new Session(out, config, new Linear(), measures)) {
            assertTrue(session.run.run(new RunListener() {}));
        }
        MetricsLog.Entry second =
                MetricsLog.read(out.resolve(TrainingRun.METRICS)).get(1);
        assertEquals(2, second.values().get("average/diversity"));
        assertFalse(second.values().containsKey(FineTuning.INDEPENDENT));
        assertFalse(Files.exists(out.resolve(FineTuning.BEST)));
    }

    /** A tilted map of one step is distilled from the student: its drift is the teacher of GLASS (method §9.3). */
    @Test
    void theStudentTeachesATiltedMap() throws IOException {
        Path out = folder.resolve("out");
        try (Session session = new Session(out, config().build(), new Linear(), null)) {
            session.run.run(new RunListener() {});
        }
        TrainConfig distil = TrainConfig.load(
                "mixture/distill",
                "steps=2",
                "batch=16",
                "model.mlp.width=16",
                "model.mlp.depth=1",
                "teacher.kind=network",
                "teacher.file=" + out.resolve(CheckpointFolder.CHECKPOINT));
        try (TrainingData data = data();
                TrainingRun run = new TrainingRun(distil, data, Device.CPU, folder.resolve("map"))) {
            assertTrue(run.run());
        }
    }
}
