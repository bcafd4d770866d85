package org.metaflowmaps.steering.evaluation;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.evaluation.FrontierResult.Estimate;

final class SubsetStatisticsTest {
    private static final double[] TARGET = {0.25, 0, 0.75};

    private static SampleScores random(int count, long seed) {
        Random random = new Random(seed);
        SampleScores scores =
                new SampleScores(new double[count], new double[count], new int[count], new boolean[count]);
        for (int i = 0; i < count; i++) {
            scores.rewards()[i] = random.nextGaussian();
            scores.judge()[i] = scores.rewards()[i] + random.nextGaussian();
            scores.classes()[i] = random.nextInt(3);
            scores.agrees()[i] = random.nextBoolean();
        }
        return scores;
    }

    /** Compares with a visit of every subset. */
    @Test
    void meansAreThoseOfTheBestOfEverySubset() {
        SampleScores scores = random(9, 1);
        for (int size = 1; size <= 9; size++) {
            double[] sums = new double[6];
            int subsets = 0;
            for (int mask = 0; mask < 1 << 9; mask++) {
                if (Integer.bitCount(mask) != size) {
                    continue;
                }
                int best = -1;
                for (int i = 0; i < 9; i++) {
                    boolean higher = best < 0 || scores.rewards()[i] > scores.rewards()[best];
                    best = (mask >> i & 1) == 1 && higher ? i : best;
                }
                sums[0] += scores.rewards()[best];
                sums[1] += scores.judge()[best];
                sums[2] += scores.agrees()[best] ? 1 : 0;
                sums[3 + scores.classes()[best]]++;
                subsets++;
            }
            SubsetStatistics found = SubsetStatistics.of(scores, size, TARGET);
            assertEquals(sums[0] / subsets, found.reward().value(), 1e-12);
            assertEquals(sums[1] / subsets, found.judge().value(), 1e-12);
            assertEquals(sums[2] / subsets, found.agreement().value(), 1e-12);
            double squares = 0;
            for (int i = 0; i < 3; i++) {
                assertEquals(sums[3 + i] / subsets, found.histogram().get(i), 1e-12);
                squares += Math.pow(sums[3 + i] / subsets - TARGET[i], 2);
            }
            assertEquals(Math.sqrt(squares), found.distance().value(), 1e-12);
        }
    }

    @Test
    void errorsOfPlainMeansAreTheUsualOnes() {
        SampleScores scores = random(40, 2);
        SubsetStatistics found = SubsetStatistics.of(scores, 1, TARGET);
        double mean = Arrays.stream(scores.rewards()).average().orElseThrow();
        double squares = Arrays.stream(scores.rewards())
                .map(r -> (r - mean) * (r - mean))
                .sum();
        assertEquals(
                new Estimate(mean, Math.sqrt(squares / 39 / 40), 40).error(),
                found.reward().error(),
                1e-12);
        double chance =
                found.histogram().stream().mapToDouble(p -> p * (1 - p) / 39).sum();
        double plain = found.distance().value();
        assertEquals(Math.sqrt(plain * plain - chance), found.corrected(), 1e-12);
    }

    /** Compares the error of the best of 8 with the spread over fresh pools. */
    @Test
    void errorsOfTheBestAreTheSpreadOfFreshPools() {
        int runs = 200;
        double[] values = new double[runs];
        double[] variances = new double[runs];
        for (int i = 0; i < runs; i++) {
            Estimate found =
                    SubsetStatistics.of(random(200, 100 + i), 8, TARGET).reward();
            values[i] = found.value();
            variances[i] = found.error() * found.error();
        }
        double mean = Arrays.stream(values).average().orElseThrow();
        double spread = Arrays.stream(values).map(v -> (v - mean) * (v - mean)).sum() / (runs - 1);
        double claimed = Arrays.stream(variances).average().orElseThrow();
        // A variance from 200 runs has a standard error of 10 %.
        assertEquals(1, claimed / spread, 0.35);
        // The mean of the largest of 8 normal numbers.
        assertEquals(1.4236, mean, 4 * Math.sqrt(spread / runs));
    }

    @Test
    void thereIsNoErrorWhereBlocksLeaveTooFewSamples() {
        SampleScores scores = random(10, 3);
        assertTrue(Double.isNaN(SubsetStatistics.of(scores, 10, TARGET).reward().error()));
        assertTrue(SubsetStatistics.of(scores, 9, TARGET).reward().error() > 0);
        assertTrue(Double.isNaN(
                SubsetStatistics.of(random(1, 4), 1, TARGET).judge().error()));
    }

    @Test
    void winnersAreTheBestOfDisjointGroups() {
        SampleScores scores =
                new SampleScores(new double[] {1, 3, 3, 0, 9, 2, 7}, new double[7], new int[7], new boolean[7]);
        assertArrayEquals(new long[] {1, 2, 4}, scores.winners(2, 64));
        assertArrayEquals(new long[] {1, 4}, scores.winners(3, 64));
        assertArrayEquals(new long[] {0, 1}, scores.winners(1, 2));
        assertArrayEquals(new long[] {4}, scores.winners(7, 3));
        assertEquals(7, SampleScores.joined(List.of(scores)).count());
    }

    /** Three points on a line of two pixels, in units of the range [0, 1]: distances 1/2, 1 and 1/2. */
    @Test
    void diversityIsTheMeanDistanceOfPairs() {
        try (TensorScope scope = TensorScope.open()) {
            Estimate found = Diversity.of(Torch.of(new float[] {-1, -1, 0, 0, 1, 5}, 3, 2));
            assertEquals(2.0 / 3, found.value(), 1e-12);
            // The means without one point are 1/2, 1 and 1/2.
            assertEquals(Math.sqrt(2.0 / 3 * (2.0 / 36 + 1.0 / 9)), found.error(), 1e-12);
            assertEquals(3, found.n());
            assertTrue(Double.isNaN(
                    Diversity.of(Torch.of(new float[] {1, 1}, 1, 2)).value()));
        }
    }
}
