package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.runtime.Device;
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
}
