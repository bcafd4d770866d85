package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.Draw;
import org.metaflowmaps.training.optim.AdamW;
import org.metaflowmaps.training.optim.MovingAverage;

/** Whole training steps in bfloat16 compared with float32. */
final class PrecisionTest {
    private static final int STEPS = 200;
    private static final int LAST = 50;

    @TempDir
    private Path folder;

    private List<Trainer.Report> run(Runs runs, Precision precision) throws IOException {
        runs.precision = precision;
        List<Trainer.Report> reports = new ArrayList<>();
        long tensors = NativeMemory.liveTensors();
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            for (int i = 0; i < runs.steps; i++) {
                reports.add(trainer.takeStepAndRead());
                assertFalse(Autocast.isOn(Device.Type.CPU));
            }
            assertEquals(DType.FLOAT32, trainer.map().parameters().values().dtype());
            assertEquals(DType.FLOAT32, trainer.map().parameters().gradients().dtype());
        }
        assertEquals(tensors, NativeMemory.liveTensors());
        return reports;
    }

    private static double end(List<Trainer.Report> reports) {
        return reports.subList(STEPS - LAST, STEPS).stream()
                .mapToDouble(report -> report.error("diagonal"))
                .average()
                .orElseThrow();
    }

    @Test
    void learningIsThatOfFloat32() throws IOException {
        Runs runs = new Runs();
        runs.model = ModelConfig.of(SmallNetworks.mlpConfig(2, 48, 2, 3));
        runs.consistency = LossConfig.ConsistencyKind.NONE;
        runs.steps = STEPS;
        runs.batch = 128;
        runs.learningRate = 3e-3;
        runs.warmUp = 20;
        List<Trainer.Report> exact = run(runs, Precision.FLOAT32);
        List<Trainer.Report> mixed = run(runs, Precision.BFLOAT16);
        double start = exact.getFirst().error("diagonal");
        assertTrue(end(exact) < 0.7 * start, end(exact) + " after " + start);
        assertEquals(end(exact), end(mixed), 0.02 * start);
        assertNotEquals(end(exact), end(mixed), "nothing was rounded");
    }

    /** All losses that need no teacher. */
    @ParameterizedTest
    @EnumSource(
            value = LossConfig.ConsistencyKind.class,
            mode = EnumSource.Mode.EXCLUDE,
            names = {"EULERIAN_TEACHER", "LAGRANGIAN_TEACHER"})
    void everyLossIsThatOfFloat32(LossConfig.ConsistencyKind kind) throws IOException {
        Runs runs = new Runs();
        runs.model = Runs.TRANSFORMER;
        runs.consistency = kind;
        runs.batch = 16;
        runs.steps = 8;
        // Every weight changes by about this much per step, so that the blocks, initially identities, soon have an
        // effect.
        runs.optimizer = OptimizerConfig.Kind.ADAMW;
        runs.learningRate = 1e-2;
        List<Trainer.Report> exact = run(runs, Precision.FLOAT32);
        List<Trainer.Report> mixed = run(runs, Precision.BFLOAT16);
        for (int i = 0; i < runs.steps; i++) {
            assertEquals(
                    exact.get(i).error("diagonal"),
                    mixed.get(i).error("diagonal"),
                    0.03 * exact.get(i).error("diagonal"),
                    "diagonal of step " + i);
            assertEquals(
                    exact.get(i).gradientNorm(),
                    mixed.get(i).gradientNorm(),
                    0.1 * exact.get(i).gradientNorm(),
                    "gradient of step " + i);
            if (kind != LossConfig.ConsistencyKind.NONE) {
                assertEquals(
                        exact.get(i).error("consistency"),
                        mixed.get(i).error("consistency"),
                        0.05 * exact.get(i).error("consistency"),
                        "consistency of step " + i);
            }
        }
        assertNotEquals(exact.getLast().error("diagonal"), mixed.getLast().error("diagonal"), "nothing was rounded");
    }

    /** An objective whose weights are cast in each pass. */
    private record Cast(FlowMapObjective objective) implements Objective<Draw> {
        @Override
        public Draw draw(TrainingData.Batch batch, long step) {
            return objective.draw(batch, step);
        }

        @Override
        public List<Loss> losses(Draw draw) {
            return objective.losses(draw);
        }

        @Override
        public List<ParameterArena> parameters() {
            return objective.parameters();
        }

        @Override
        public List<ParameterArena> evaluated() {
            return List.of();
        }

        @Override
        public void close() {}
    }

    private static float[] weights(Runs runs, boolean cast, boolean byHand) throws IOException {
        TrainConfig config = runs.config().toBuilder().recompute(byHand).build();
        try (TrainingData data = runs.data();
                RandomSource random = RandomSource.seeded(3);
                MetaFlowMap map = config.model().network().initialised(Device.CPU, random);
                MovingAverage average = new MovingAverage(map.parameters(), 0.5, 1);
                MetaFlowMap averaged = map.boundTo(average.values());
                FlowMapObjective objective = new FlowMapObjective(config, map, averaged, null, random);
                AdamW optimizer = new AdamW(map.parameters(), 0.9, 0.999, 1e-8, 0);
                StepRunner<Draw> runner = new StepRunner<>(
                        cast ? new Cast(objective) : objective,
                        data,
                        List.of(optimizer),
                        average,
                        TrainerSettings.of(config, 1));
                TensorScope scope = TensorScope.open()) {
            for (int step = 0; step < runs.steps; step++) {
                runner.step(step);
                assertNull(map.parameters().narrowed(), "nothing outdated is left between steps");
                assertNull(averaged.parameters().narrowed());
            }
            return average.values().toFloatArray();
        }
    }

    /** Weights that are converted once in a step give the results of weights that are cast in each pass, to the last bit. */
    @ParameterizedTest
    @EnumSource(
            value = LossConfig.ConsistencyKind.class,
            mode = EnumSource.Mode.EXCLUDE,
            names = {"EULERIAN_TEACHER", "LAGRANGIAN_TEACHER"})
    void convertingOnceChangesNothing(LossConfig.ConsistencyKind kind) throws IOException {
        Runs runs = new Runs();
        runs.model = Runs.TRANSFORMER;
        runs.consistency = kind;
        runs.precision = Precision.BFLOAT16;
        runs.learningRate = 1e-2;
        runs.accumulate = 2;
        for (boolean byHand : new boolean[] {false, true}) {
            assertArrayEquals(weights(runs, true, byHand), weights(runs, false, byHand), "by hand: " + byHand);
        }
    }

    /** Slices have their own gradients of the common copy. */
    @Test
    void slicesChangeOnlyTheOrderOfSums() throws IOException {
        Runs runs = new Runs();
        runs.model = Runs.TRANSFORMER;
        runs.precision = Precision.BFLOAT16;
        runs.batch = 6;
        double[] norms = new double[2];
        for (int slices = 1; slices <= 2; slices++) {
            try (TrainingData data = runs.data();
                    TrainingRun run = new TrainingRun(
                            runs.config().toBuilder().slices(slices).build(), data, Device.CPU, folder)) {
                for (int step = 0; step < 4; step++) {
                    norms[slices - 1] = run.takeStepAndRead().gradientNorm();
                }
            }
        }
        assertEquals(norms[0], norms[1], 0.02 * norms[0]);
    }
}
