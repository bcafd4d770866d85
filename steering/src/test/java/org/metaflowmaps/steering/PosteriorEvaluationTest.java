package org.metaflowmaps.steering;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.steering.GaussianMap.DEVIATION;
import static org.metaflowmaps.steering.GaussianMap.MEAN;
import static org.metaflowmaps.steering.GaussianMap.posteriorDeviation;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Errors of the exact map of a Gaussian, compared with closed forms. */
final class PosteriorEvaluationTest {
    private static final int ITEMS = 3_001;
    private static final int DRAWS = 5;

    /** Five relative standard errors of a root mean square over 6,002 Gaussian numbers. */
    private static final double TOLERANCE = 5 / Math.sqrt(2.0 * 2 * ITEMS);

    private static double rootMean(double first, double second) {
        return Math.sqrt((first + second) / 2);
    }

    private static double squaredSpread(int i, double time) {
        return posteriorDeviation(i, time) * posteriorDeviation(i, time);
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.1, 0.5, 0.9})
    void errorsAreThoseOfTheory(double time) {
        long live = NativeMemory.liveTensors();
        try (GaussianMap map = new GaussianMap();
                RandomSource random = RandomSource.seeded(7);
                TensorScope scope = TensorScope.open()) {
            Tensor means = Torch.of(GaussianMap.floats(MEAN), 1, 2).expand(ITEMS, 2);
            Tensor items = means.add(random.normal(ITEMS, 2).mul(Torch.of(GaussianMap.floats(DEVIATION), 1, 2)));
            Tensor labels = Torch.zeros(ITEMS).to(DType.INT64);
            long before = NativeMemory.liveTensors();
            PosteriorEvaluation result = PosteriorEvaluation.of(
                    new PosteriorSampler(map, 2), items, Condition.labelled(labels), means, time, DRAWS, random);
            assertEquals(before, NativeMemory.liveTensors());
            assertEquals(time, result.time());
            double spread = rootMean(squaredSpread(0, time), squaredSpread(1, time));
            // The clean item and the mean of the draws are independent around the posterior's mean.
            assertShare(spread * Math.sqrt(1 + 1.0 / DRAWS), result.meanOfDraws(), "mean of draws");
            assertShare((1 - time) / time, result.scaledState(), "x_t / t");
            assertShare(
                    rootMean(DEVIATION[0] * DEVIATION[0], DEVIATION[1] * DEVIATION[1]),
                    result.reference(),
                    "reference");
            assertShare(spread, result.spread(), "spread");
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static void assertShare(double expected, double actual, String what) {
        // The larger of two coordinates dominates, so only half as many numbers count.
        assertEquals(1, actual / expected, Math.sqrt(2) * TOLERANCE, what);
    }

    @Test
    void noisedContextsAreOnThePath() {
        try (RandomSource random = RandomSource.seeded(7);
                TensorScope scope = TensorScope.open()) {
            Tensor clean = Torch.zeros(20_000, 2).add(3);
            Context context = PosteriorEvaluation.noised(
                    clean, Condition.labelled(Torch.zeros(20_000).to(DType.INT64)), 0.25, random);
            float[] times = new float[20_000];
            Arrays.fill(times, 0.25f);
            assertArrayEquals(times, context.time().toFloatArray());
            assertEquals(0.75, context.state().mean().item(), 5 * 0.75 / Math.sqrt(40_000));
            assertEquals(
                    0.75, Math.sqrt(context.state().sub(0.75).square().mean().item()), 5 * 0.75 / Math.sqrt(80_000));
        }
    }

    @Test
    void whatHasNoAnswerIsRefused() {
        try (GaussianMap map = new GaussianMap();
                RandomSource random = RandomSource.seeded(7);
                TensorScope scope = TensorScope.open()) {
            Tensor items = random.normal(3, 2);
            Tensor labels = Torch.zeros(3).to(DType.INT64);
            PosteriorSampler sampler = new PosteriorSampler(map, 1);
            for (double time : new double[] {0, 1, -0.5, Double.NaN}) {
                assertSays(
                        () -> PosteriorEvaluation.of(
                                sampler, items, Condition.labelled(labels), items, time, 4, random),
                        "time " + time);
            }
            assertSays(
                    () -> PosteriorEvaluation.of(sampler, items, Condition.labelled(labels), items, 0.5, 1, random),
                    "1 draws, expected at least 2");
            Tensor none = items.narrow(0, 0, 0);
            assertSays(
                    () -> PosteriorEvaluation.of(
                            sampler, none, Condition.labelled(labels.narrow(0, 0, 0)), none, 0.5, 4, random),
                    "no items");
        }
    }

    private static void assertSays(Runnable action, String part) {
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, action::run).getMessage());
        assertTrue(message.contains(part), message);
    }
}
