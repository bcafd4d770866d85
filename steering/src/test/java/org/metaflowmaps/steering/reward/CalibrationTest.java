package org.metaflowmaps.steering.reward;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.Arrays;
import java.util.Random;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

final class CalibrationTest {
    private static final double MEAN = -40;
    private static final double DEVIATION = 0.25;

    private static Calibration gaussian(int count) {
        SplittableRandom random = new SplittableRandom(1);
        double[] scores = new double[count];
        Arrays.setAll(scores, i -> random.nextGaussian(MEAN, DEVIATION));
        return new Calibration(scores, 0.5);
    }

    /** r ~ N(m, s²): the tilted law is N(m + λs², s²), KL(λ) = λ²s²/2 and ESS/n = e^(-λ²s²). λs is kept below 1: errors grow fast. */
    @Test
    void gaussianScoresHaveTheClosedForm() {
        Calibration calibration = gaussian(50_000);
        assertEquals(MEAN, calibration.mean(), 5e-3);
        assertEquals(DEVIATION, calibration.deviation(), 3e-3);
        for (double strength : new double[] {0, 1e-3, 0.4, 2}) {
            double square = strength * strength * DEVIATION * DEVIATION;
            assertEquals(square / 2, calibration.divergence(strength), 0.03 * square / 2 + 1e-12);
            assertEquals(Math.exp(-square), calibration.effectiveShare(strength), 0.03 * Math.exp(-square));
        }
        for (double divergence : new double[] {1e-4, 0.02, 0.1, 0.2}) {
            double strength = calibration.strengthForDivergence(divergence);
            assertEquals(Math.sqrt(2 * divergence) / DEVIATION, strength, 0.02 * strength);
            assertEquals(divergence, calibration.divergence(strength), 1e-9);
        }
        for (double share : new double[] {0.99, 0.8, 0.6}) {
            double strength = calibration.strengthForEffectiveShare(share);
            assertEquals(Math.sqrt(-Math.log(share)) / DEVIATION, strength, 0.02 * strength);
            assertEquals(share, calibration.effectiveShare(strength), 1e-12);
        }
    }

    /** Two scores, 0 and 1: the tilted law has the odds e^λ. */
    @Test
    void twoScoresHaveExactAnswers() {
        Calibration calibration = new Calibration(new double[] {0, 1}, 0);
        double p = Math.E / (1 + Math.E);
        double divergence = p * Math.log(2 * p) + (1 - p) * Math.log(2 * (1 - p));
        assertEquals(divergence, calibration.divergence(1), 1e-14);
        assertEquals(1, calibration.strengthForDivergence(divergence), 1e-12);
        assertEquals(1 / (2 * (p * p + (1 - p) * (1 - p))), calibration.effectiveShare(1), 1e-14);
        assertEquals(Math.log(2), calibration.divergence(1e300), 1e-14);
        assertEquals(0.5, calibration.effectiveShare(1e300));
    }

    @Test
    void bothGrowWithTheStrengthAndScaleWithTheReward() {
        Calibration calibration = gaussian(1000);
        double[] strengths = {0, 0.1, 1, 5, 20, 100, 1000, 1e6};
        for (int i = 1; i < strengths.length; i++) {
            assertTrue(calibration.divergence(strengths[i]) >= calibration.divergence(strengths[i - 1]));
            assertTrue(calibration.effectiveShare(strengths[i]) <= calibration.effectiveShare(strengths[i - 1]));
        }
        for (double scale : new double[] {1e-30, 1e30}) {
            Calibration scaled = new Calibration(
                    new Random(2).doubles(500).map(score -> score * scale).toArray(), 0);
            Calibration plain = new Calibration(new Random(2).doubles(500).toArray(), 0);
            assertEquals(
                    plain.strengthForDivergence(0.5),
                    scaled.strengthForDivergence(0.5) * scale,
                    1e-9,
                    "scale " + scale);
        }
    }

    @Test
    void targetsThatAreNotReachableAreRefused() {
        Calibration calibration = gaussian(100);
        calibration.strengthForDivergence(4.6);
        assertRefused(() -> calibration.strengthForDivergence(4.61), "KL", "100 scores", "less than 4.605");
        assertRefused(() -> calibration.strengthForDivergence(0), "more than 0");
        assertRefused(() -> calibration.strengthForDivergence(Double.NaN), "NaN");
        assertRefused(() -> calibration.strengthForEffectiveShare(0.01), "more than 0.01");
        assertRefused(() -> calibration.strengthForEffectiveShare(1), "less than 1");
        Calibration ties = new Calibration(new double[] {1, 1, 0, 1}, 0);
        assertRefused(() -> ties.strengthForDivergence(0.3), "3 equal to the largest", "less than 0.287");
        assertRefused(() -> new Calibration(new double[] {2, 2, 2}, 0).strengthForDivergence(0.1), "not reachable");
        assertRefused(() -> calibration.divergence(-1), "from 0");
        assertRefused(() -> calibration.effectiveShare(Double.POSITIVE_INFINITY), "finite");
    }

    @Test
    void minusInfinityWeighsNothing() {
        double none = Double.NEGATIVE_INFINITY;
        Calibration calibration = new Calibration(new double[] {none, 0, 1, none}, 0);
        Calibration finite = new Calibration(new double[] {0, 1}, 0);
        assertEquals(2, calibration.impossible());
        assertEquals(0.5, calibration.mean());
        assertEquals(finite.divergence(1) + Math.log(2), calibration.divergence(1), 1e-14);
        assertEquals(finite.effectiveShare(1) / 2, calibration.effectiveShare(1), 1e-14);
        assertEquals(0, calibration.divergence(0));
        assertEquals(1, calibration.strengthForDivergence(calibration.divergence(1)), 1e-12);
        assertEquals(1, calibration.strengthForEffectiveShare(calibration.effectiveShare(1)), 1e-9);
        assertRefused(() -> calibration.strengthForDivergence(0.5), "2 finite", "more than 0.693");
        assertRefused(() -> calibration.strengthForEffectiveShare(0.6), "less than 0.5");
        assertEquals(none, calibration.quantile(0));
        assertEquals(none, calibration.quantile(0.5));
        assertEquals(1, calibration.quantile(1));
        assertRefused(() -> new Calibration(new double[] {1, none}, 0), "1 of 2 scores are finite");
    }

    @Test
    void quantilesInterpolate() {
        Calibration calibration = new Calibration(new double[] {4, 1, 3, 2}, 0);
        assertEquals(1, calibration.quantile(0));
        assertEquals(2.5, calibration.quantile(0.5), 1e-15);
        assertEquals(1.3, calibration.quantile(0.1), 1e-15);
        assertEquals(4, calibration.quantile(1));
        assertRefused(() -> calibration.quantile(1.1), "0 to 1");
    }

    @Test
    void aRewardIsMeasuredInBatches() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor images = Samples.images(7, 1);
            Calibration calibration = Calibration.measure(ImageStatistic.brightness(), images, Condition.none(), 3);
            double[] scores = Samples.scores(ImageStatistic.brightness(), images);
            assertEquals(7, calibration.count());
            assertEquals(Arrays.stream(scores).average().orElseThrow(), calibration.mean(), 1e-14);
            assertTrue(calibration.secondsPerItem() > 0 && calibration.secondsPerItem() < 1);
            Reward bad = new JavaReward("bad", (memory, shape) -> new float[] {Float.NaN, 0, 0, 0, 0, 0, 0});
            assertRefused(RewardException.class, () -> Calibration.measure(bad, images, Condition.none(), 7), "'bad'");
            assertRefused(() -> Calibration.measure(bad, images, Condition.none(), 0), "batch is 0");
            assertRefused(() -> Calibration.measure(bad, Torch.zeros(0, 1, 2, 2), Condition.none(), 1), "one item");
        }
        assertRefused(() -> new Calibration(new double[] {0, Double.NaN}, 0), "score 1", "NaN");
        assertRefused(() -> new Calibration(new double[] {0, Double.POSITIVE_INFINITY}, 0), "Infinity");
        assertRefused(() -> new Calibration(new double[] {0, 1}, -1), "-1");
    }
}
