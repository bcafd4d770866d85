package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.ExactMixtureMap;
import org.metaflowmaps.steering.particle.GreedySearch.Renoising;
import org.metaflowmaps.steering.particle.GreedySearch.Resampling;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.ValueFunction;

/**
 * A reward with two peaks: one of height 1 in the middle of a mode of the data, and one of height 2 at the edge of the
 * other mode, three standard deviations from its centre. Few draws of the second mode score more than the first peak, so
 * greedy search commits to the wrong mode; a tree search comes back to the other one. The constants were fixed before
 * the first run, which gave 27 of 50 for the tree search and 1 of 50 for the greedy one.
 */
final class TwoModesTest {
    private static final int RUNS = 50;
    private static final long SEED = 2026;
    private static final long BUDGET = 1600;
    private static final double MODE = 3;
    private static final double VARIANCE = 0.5;
    private static final double[] LOW_PEAK = {-MODE, -MODE};
    private static final double[] HIGH_PEAK = {MODE + 1.5, MODE - 1.5};

    /** The paper's 8 particles of 4 draws, with as many steps as the budget allows. */
    private static final int STEPS = 25;

    private static final int PARTICLES = 8;
    private static final int DRAWS = 4;
    private static final int DEPTH = 5;
    private static final int WIDTH = 4;
    private static final double LEVEL = 0.01;

    private static final Tilt TWO_PEAKS = new Tilt(
            SearchRewards.of(states -> cone(states, LOW_PEAK, 1, 0.5).maximum(cone(states, HIGH_PEAK, 2, 2))), 1);

    /** Returns height - slope·|x - peak|. */
    private static Tensor cone(Tensor states, double[] peak, double height, double slope) {
        return states.sub(Torch.of(peak, 1, 2))
                .square()
                .sum(1)
                .sqrt()
                .mul(-slope)
                .add(height);
    }

    private static KeyedNoise noise(int particles) {
        long[] items = new long[RUNS];
        Arrays.setAll(items, i -> i);
        return new KeyedNoise(SEED, items, particles, Shape.of(2), DType.FLOAT64, Device.CPU);
    }

    /** Only the high peak has scores above 1. */
    private static int found(Tensor scores) {
        return (int)
                Arrays.stream(scores.toDoubleArray()).filter(score -> score > 1).count();
    }

    @Test
    void aTreeSearchFindsTheHigherPeakMoreOftenThanAGreedyOne() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap(new double[] {-MODE, MODE}, VARIANCE)) {
            GreedySearch.Result greedy = new GreedySearch(
                            new ValueFunction(map, TWO_PEAKS, DRAWS),
                            GreedySearch.paperGrid(STEPS),
                            PARTICLES,
                            Resampling.MAX_OVERALL,
                            Renoising.STOCHASTIC)
                    .run(noise(PARTICLES), Condition.none());
            TreeSearch.Result tree = new TreeSearch(map, TWO_PEAKS, TimeGrid.linspace(0.01, DEPTH), WIDTH)
                    .run(noise(1), Condition.none(), Budget.ofEvaluations(BUDGET), SamplingListener.NONE);
            assertEquals(BUDGET, greedy.spent().evaluations());
            assertEquals(BUDGET, tree.spent().evaluations());
            int byGreedy = found(greedy.scores());
            int byTree = found(tree.scores());
            double p = fisher(byTree, byGreedy, RUNS);
            String what = "of " + RUNS + " runs, the tree search found the higher peak in " + byTree
                    + " and the greedy search in " + byGreedy + "; p = " + p + ", depth " + tree.depth();
            assertTrue(byTree > byGreedy && p < LEVEL, what);
        }
    }

    /** Returns the two-sided p-value of Fisher's exact test for two counts out of equal numbers of runs. */
    private static double fisher(int first, int second, int runs) {
        int total = first + second;
        double observed = probability(first, total, runs);
        double sum = 0;
        for (int i = Math.max(0, total - runs); i <= Math.min(runs, total); i++) {
            double here = probability(i, total, runs);
            sum += here <= observed * (1 + 1e-9) ? here : 0;
        }
        return sum;
    }

    private static double probability(int first, int total, int runs) {
        return Math.exp(logChoose(runs, first) + logChoose(runs, total - first) - logChoose(2 * runs, total));
    }

    private static double logChoose(int n, int k) {
        double sum = 0;
        for (int i = 1; i <= k; i++) {
            sum += Math.log(n - k + i) - Math.log(i);
        }
        return sum;
    }

    /** Fisher's tea: 3 of 4 against 1 of 4. */
    @Test
    void fishersTestIsRight() {
        assertEquals(34.0 / 70, fisher(3, 1, 4), 1e-12);
        assertEquals(2.0 / 70, fisher(4, 0, 4), 1e-12);
    }
}
