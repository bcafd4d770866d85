package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.data.TrainingData;

/**
 * A small network learns the mixture.
 *
 * <p>For data of variance V along a direction, the best linear estimate of x_1 - x_0 from (1 - s) x_0 + s x_1 has the
 * error V / ((1 - s)² + s² V), with mean √V·π/2 over s. The mixture's centres are on the line (1, 1); its variance is
 * 12 + 0.5 along it and 0.5 across.
 */
final class LearningTest {
    private static final double LINEAR = Math.PI / 2 * (Math.sqrt(12 + Runs.VARIANCE) + Math.sqrt(Runs.VARIANCE));
    private static final int STEPS = 400;
    private static final int LAST = 100;

    @TempDir
    private Path folder;

    @Test
    void theDiagonalLossFallsBelowEveryLinearGuess() throws IOException {
        Runs runs = new Runs();
        runs.model = ModelConfig.of(SmallNetworks.mlpConfig(2, 48, 2, 3));
        runs.consistency = LossConfig.ConsistencyKind.NONE;
        runs.steps = STEPS;
        runs.batch = 128;
        runs.learningRate = 3e-3;
        runs.warmUp = 20;
        runs.optimizer = OptimizerConfig.Kind.ADAMW;
        double first = 0;
        double last = 0;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            for (int i = 0; i < STEPS; i++) {
                Trainer.Report report = trainer.takeStepAndRead();
                assertNotNull(report);
                if (i == 0) {
                    first = report.error("diagonal");
                }
                if (i >= STEPS - LAST) {
                    last += report.error("diagonal") / LAST;
                }
            }
        }
        // The best constant, the mean velocity of all pairs, has the variances of data and noise as its error.
        assertTrue(first > 13, "an untrained network's error is " + first);
        assertTrue(last < LINEAR, "error " + last + ", the best linear guess has " + LINEAR);
        assertTrue(
                last > knowingTheComponent(),
                "error " + last + ", who knew the component would have " + knowingTheComponent());
    }

    /**
     * Returns the least error of an estimate that knows the component: given x_t the data is then Gaussian with
     * variance V (1 - t)² / ((1 - t)² + V t²) in both directions. Context times are 0 with probability 0.1, else
     * squares of uniforms.
     */
    private static double knowingTheComponent() {
        int points = 10_000;
        double sum = 0;
        for (int i = 0; i < points; i++) {
            double time = Math.pow((i + 0.5) / points, 2);
            double variance =
                    Runs.VARIANCE * (1 - time) * (1 - time) / ((1 - time) * (1 - time) + Runs.VARIANCE * time * time);
            sum += Math.PI * Math.sqrt(variance) / points;
        }
        return 0.9 * sum + 0.1 * Math.PI * Math.sqrt(Runs.VARIANCE);
    }
}
