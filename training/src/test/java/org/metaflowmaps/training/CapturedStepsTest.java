package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.config.WeightingConfig;
import org.metaflowmaps.training.data.TrainingData;

final class CapturedStepsTest {
    @TempDir
    private Path folder;

    /** On the CPU a step in the form for a graph computes the same as another, to the last bit. */
    @ParameterizedTest
    @EnumSource(LossConfig.ConsistencyKind.class)
    void graphsChangeNothing(LossConfig.ConsistencyKind consistency) throws IOException {
        Runs runs = new Runs();
        runs.consistency = consistency;
        runs.teacher = TeacherConfig.builder().kind(TeacherConfig.Kind.MIXTURE).build();
        runs.weighting = WeightingConfig.Kind.LEARNED;
        runs.alphaTo = 6;
        runs.warmUp = 4;
        float[][] weights = new float[2][];
        for (int i = 0; i < 2; i++) {
            TrainConfig config =
                    runs.config().toBuilder().slices(1).graphs(i == 1).build();
            try (TrainingData data = runs.data();
                    TrainingRun run = new TrainingRun(config, data, Device.CPU, folder)) {
                for (int step = 0; step < 8; step++) {
                    run.takeStep();
                }
                assertEquals(i == 1, run.graphs().isPresent());
                weights[i] = run.average().values().toFloatArray();
            }
        }
        assertArrayEquals(weights[0], weights[1]);
    }

    /** An objective that is asked for nothing. */
    private static class Unasked implements Objective<Object> {
        @Override
        public Object draw(TrainingData.Batch batch, long step) {
            throw new UnsupportedOperationException("draw");
        }

        @Override
        public List<Loss> losses(Object draw) {
            throw new UnsupportedOperationException("losses");
        }

        @Override
        public List<ParameterArena> parameters() {
            throw new UnsupportedOperationException("parameters");
        }

        @Override
        public List<RandomSource> randomSources() {
            throw new UnsupportedOperationException("randomSources");
        }

        @Override
        public void close() {}
    }

    private static final class UnaskedGraph extends Unasked implements GraphObjective<Object> {
        @Override
        public Object map(Object draw, UnaryOperator<Tensor> change) {
            throw new UnsupportedOperationException("map");
        }

        @Override
        public Object phase(Object draw) {
            throw new UnsupportedOperationException("phase");
        }
    }

    /** A run that cannot be captured says why, and what to change. */
    @Test
    void theObstacleIsNamed() {
        TrainConfig config = new Runs().config().toBuilder().graphs(true).build();
        TrainerSettings one = TrainerSettings.of(config, 1);
        TrainerSettings four =
                TrainerSettings.of(config.toBuilder().accumulate(4).build(), 1);
        try (Objective<Object> plain = new Unasked();
                Objective<Object> graph = new UnaskedGraph()) {
            assertEquals(Optional.empty(), StepRunner.obstacle(graph, one));
            assertEquals(
                    Optional.of("steps have several passes (accumulate=4) and only those of one are captured: set"
                            + " accumulate=1, with a batch that fits in memory"),
                    StepRunner.obstacle(graph, four));
            assertTrue(StepRunner.obstacle(plain, one).orElse("").contains("no GraphObjective"));
        }
    }
}
