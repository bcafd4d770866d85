package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.HostReads;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.WeightingConfig;
import org.metaflowmaps.training.data.TrainingData;

/** A training step reads no value on the host, for any losses, weighting and optimiser. */
final class StepHostReadsTest {
    @TempDir
    private Path folder;

    private long reads(Runs runs) throws IOException {
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.takeStep();
            long before = HostReads.count();
            trainer.takeStep();
            trainer.takeStep();
            return HostReads.count() - before;
        }
    }

    private static Runs runs(LossConfig.ConsistencyKind consistency) {
        Runs runs = new Runs();
        runs.consistency = consistency;
        runs.teacher = TeacherConfig.builder().kind(TeacherConfig.Kind.MIXTURE).build();
        runs.alphaTo = 10;
        runs.skipAbove = 100;
        return runs;
    }

    @ParameterizedTest
    @EnumSource(LossConfig.ConsistencyKind.class)
    void aStepReadsNothing(LossConfig.ConsistencyKind consistency) throws IOException {
        for (OptimizerConfig.Kind optimizer : OptimizerConfig.Kind.values()) {
            Runs runs = runs(consistency);
            runs.optimizer = optimizer;
            assertEquals(0, reads(runs), optimizer.toString());
            runs.accumulate = 2;
            assertEquals(0, reads(runs), optimizer + ", accumulating");
        }
    }

    @ParameterizedTest
    @EnumSource(LossConfig.VelocityKind.class)
    void noVelocityReads(LossConfig.VelocityKind velocity) throws IOException {
        Runs runs = runs(LossConfig.ConsistencyKind.MEAN_FLOW);
        runs.velocity = velocity;
        runs.guidance = 2;
        assertEquals(0, reads(runs));
    }

    @ParameterizedTest
    @EnumSource(WeightingConfig.Kind.class)
    void noWeightingReads(WeightingConfig.Kind weighting) throws IOException {
        Runs runs = runs(LossConfig.ConsistencyKind.PSD);
        runs.weighting = weighting;
        assertEquals(0, reads(runs));
    }

    /** The test detects a read. */
    @Test
    void aStepThatIsReadIsCounted() throws IOException {
        Runs runs = runs(LossConfig.ConsistencyKind.PSD);
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            long before = HostReads.count();
            trainer.takeStepAndRead();
            assertTrue(HostReads.count() > before);
        }
    }
}
