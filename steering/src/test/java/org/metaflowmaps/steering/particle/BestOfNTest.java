package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.sampler.RefinementSampler;
import org.metaflowmaps.models.sampler.SampleResult;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.BadScoreException;

final class BestOfNTest {
    private static final Tilt NEAR = new Tilt(SearchRewards.near(0.4), 1);
    private static final double NEVER = Double.NEGATIVE_INFINITY;

    /** Returns the mean maximum of all subsets by visiting each. */
    private static double byEnumeration(double[] scores, int size) {
        double sum = 0;
        int subsets = 0;
        for (int mask = 0; mask < 1 << scores.length; mask++) {
            if (Integer.bitCount(mask) == size) {
                double most = NEVER;
                for (int i = 0; i < scores.length; i++) {
                    most = (mask >> i & 1) == 1 ? Math.max(most, scores[i]) : most;
                }
                sum += most;
                subsets++;
            }
        }
        return sum / subsets;
    }

    @Test
    void theExpectedMaximumIsTheMeanOverAllSubsets() {
        for (double[] scores : new double[][] {
            {0.3, -1.2, 2.5, 0.7, -0.1, 9, 3.3, -4},
            {1, 1, 2, 2, 2, 0, 0, 1},
            {5, 5, 5, 5, 5, 5, 5, 5},
            {NEVER, 2, NEVER, 1, 0, NEVER, 4, 3},
            {NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER}
        }) {
            for (int size = 1; size <= 8; size++) {
                assertEquals(
                        byEnumeration(scores, size),
                        BestOfN.expectedMaximum(scores, size),
                        1e-12,
                        Arrays.toString(scores) + ", subsets of " + size);
            }
        }
    }

    /** The largest of N of the numbers 1 to P is N·(P + 1)/(N + 1) on average, also for the paper's pool. */
    @Test
    void theExpectedMaximumOfEvenScoresHasAClosedForm() {
        for (int pool : new int[] {10, 1000, 128_000}) {
            double[] scores = new double[pool];
            Arrays.setAll(scores, i -> pool - i);
            for (int size : new int[] {1, 2, 7, 10, 1000, 64_000, 128_000}) {
                if (size <= pool) {
                    double expected = size * (pool + 1.0) / (size + 1);
                    assertEquals(expected, BestOfN.expectedMaximum(scores, size), 1e-9 * expected, pool + ", " + size);
                }
            }
        }
    }

    /** A sample depends on its item and number, so the batches change nothing; each costs K + 1 evaluations. */
    @Test
    void batchesDoNotChangeThePool() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer()) {
            Condition condition = Condition.labelled(Torch.of(new long[] {0, 1}));
            List<BestOfN.Result> results = new ArrayList<>();
            for (int batch : new int[] {1, 6, 100}) {
                results.add(
                        BestOfN.ode(map, 3, NEAR, 7, batch).run(SearchNoise.of(map.itemShape(), 1, 4, 9), condition));
            }
            BestOfN.Result first = results.getFirst();
            assertEquals(7 * 3 + 7, first.spent().evaluations());
            assertEquals(
                    List.of(2L, 7L),
                    List.of(first.poolScores().size(0), first.poolScores().size(1)));
            assertArrayEquals(
                    first.poolScores().amax(1).toDoubleArray(), first.scores().toDoubleArray(), 0);
            assertArrayEquals(
                    NEAR.score(first.samples(), condition)
                            .to(first.scores().dtype())
                            .toDoubleArray(),
                    first.scores().toDoubleArray(),
                    1e-6);
            assertEquals(
                    7,
                    Arrays.stream(first.poolScores().select(0, 0).toDoubleArray())
                            .distinct()
                            .count());
            for (BestOfN.Result other : results) {
                assertEquals(first.spent().evaluations(), other.spent().evaluations());
                assertArrayEquals(
                        first.samples().toFloatArray(), other.samples().toFloatArray(), 1e-5f);
                assertArrayEquals(
                        first.poolScores().toDoubleArray(), other.poolScores().toDoubleArray(), 1e-5);
            }
            BestOfN.Result one =
                    BestOfN.ode(map, 3, NEAR, 7, 3).run(SearchNoise.of(map.itemShape(), 1, 9), condition.slice(1, 1));
            assertArrayEquals(
                    one.samples().toFloatArray(), first.samples().select(0, 1).toFloatArray(), 1e-5f);
            double[][] maxima = first.expectedMaxima(1, 7);
            assertEquals(first.poolScores().select(0, 1).mean().item(), maxima[1][0], 1e-9);
            assertEquals(first.scores().select(0, 1).item(), maxima[1][1], 1e-12);
        }
    }

    /** Samplers that add noise get other numbers for each sample and each step. */
    @Test
    void samplersMayAddNoise() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer()) {
            double[][] scores = new double[2][];
            for (int i = 0; i < 2; i++) {
                scores[i] = new BestOfN(new RefinementSampler(map, 2), NEAR, 5, 1 + 4 * i)
                        .run(SearchNoise.of(map.itemShape(), 1, 0), Condition.labelled(Torch.of(new long[] {0})))
                        .poolScores()
                        .toDoubleArray();
            }
            assertArrayEquals(scores[0], scores[1], 1e-5);
            assertEquals(5, Arrays.stream(scores[0]).distinct().count());
        }
    }

    /** A base sampler of four steps that returns its noise, and asks before each step whether to stop. */
    private static final Sampler<Condition> FOUR_STEPS = (noise, condition, listener) -> {
        SampleResult result = new SampleResult(noise.next(), 4, java.time.Duration.ZERO);
        for (int step = 0; step < 4; step++) {
            if (listener.isCancelled()) {
                throw new CancellationException("base sampler");
            }
            listener.stepDone(step + 1, 4);
        }
        return result;
    };

    @Test
    void budgetsEndThePoolEarly() {
        try (TensorScope scope = TensorScope.open()) {
            BestOfN search = new BestOfN(FOUR_STEPS, NEAR, 50, 8);
            // Two items, so four samples of each at once after the first.
            for (int samples : new int[] {1, 5, 7}) {
                BestOfN.Result found = search.run(
                        SearchNoise.plane(1, 2),
                        Condition.none(),
                        Budget.ofEvaluations(5L * samples + 4),
                        SamplingListener.NONE);
                assertEquals(samples, found.poolScores().size(1));
                assertEquals(5L * samples, found.spent().evaluations());
                assertEquals(Spent.Ending.BUDGET, found.spent().ending());
            }
            BestOfN.Result timed = search.run(
                    SearchNoise.plane(1, 2), Condition.none(), Budget.ofSeconds(1e-9), SamplingListener.NONE);
            assertEquals(4, timed.poolScores().size(1));
            assertEquals(20, timed.spent().evaluations());
            Clock clock = new Clock(2);
            BestOfN.Result four =
                    search.run(SearchNoise.plane(1, 2), Condition.none(), Budget.ofSeconds(7), clock, clock);
            assertEquals(4 * 4, four.poolScores().size(1));
            assertEquals(5 * 16, four.spent().evaluations());
            assertRefused(
                    () -> search.run(
                            SearchNoise.plane(1, 2), Condition.none(), Budget.ofEvaluations(4), SamplingListener.NONE),
                    "the budget is 4 evaluations, but the first step costs 5");
        }
    }

    /** Cancelled in the third step of its second batch, it has the first batch, and counts the two steps it did. */
    @Test
    void cancellingEndsWithinAStepOfTheSampler() {
        try (TensorScope scope = TensorScope.open()) {
            int[] asked = {0};
            SamplingListener listener = new SamplingListener() {
                @Override
                public boolean isCancelled() {
                    return ++asked[0] > 4 + 1 + 2;
                }
            };
            BestOfN search = new BestOfN(FOUR_STEPS, NEAR, 50, 8);
            BestOfN.Result found = search.run(SearchNoise.plane(1, 2), Condition.none(), Budget.NONE, listener);
            assertEquals(4, found.poolScores().size(1));
            assertEquals(4 * 5 + 4 * 2, found.spent().evaluations());
            assertEquals(Spent.Ending.CANCELLED, found.spent().ending());
            assertArrayEquals(
                    found.poolScores().amax(1).toDoubleArray(), found.scores().toDoubleArray(), 0);
            long before = NativeMemory.liveTensors();
            assertThrows(
                    CancellationException.class,
                    () -> search.run(SearchNoise.plane(1, 2), Condition.none(), Budget.NONE, new SearchNoise.Heard(0)));
            assertEquals(before, NativeMemory.liveTensors());
        }
    }

    @Test
    void memoryDoesNotGrowWithThePool() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer()) {
            List<Long> live = new ArrayList<>();
            List<String> heard = new ArrayList<>();
            SamplingListener listener = new SamplingListener() {
                @Override
                public void stepDone(int done, int steps) {
                    heard.add(done + "/" + steps);
                    live.add(NativeMemory.liveTensors());
                }
            };
            BestOfN.ode(map, 2, NEAR, 11, 3)
                    .run(SearchNoise.of(map.itemShape(), 1, 0), Condition.none(), Budget.NONE, listener);
            assertEquals(List.of("3/11", "6/11", "9/11", "11/11"), heard);
            assertEquals(1, live.stream().distinct().count(), () -> "live tensors by batch: " + live);
        }
    }

    @Test
    void badScoresAndSettingsAreRefused() {
        try (TensorScope scope = TensorScope.open()) {
            Tilt bad = new Tilt(SearchRewards.of(x -> x.select(1, 0).mul(Double.NaN)), 1);
            assertRefused(
                    BadScoreException.class,
                    () -> new BestOfN(FOUR_STEPS, bad, 5, 4).run(SearchNoise.plane(1, 2), Condition.none()),
                    "item 0");
            Tilt none = new Tilt(SearchRewards.of(x -> x.select(1, 0).mul(0).add(NEVER)), 1);
            assertArrayEquals(
                    new double[] {NEVER, NEVER},
                    new BestOfN(FOUR_STEPS, none, 5, 4)
                            .run(SearchNoise.plane(1, 2), Condition.none())
                            .scores()
                            .toDoubleArray());
        }
        assertRefused(() -> new BestOfN(FOUR_STEPS, NEAR.withStrength(0), 5, 4), "lambda is 0.0");
        assertRefused(() -> new BestOfN(FOUR_STEPS, NEAR, 0, 4), "a pool of 0 samples");
        assertRefused(() -> BestOfN.expectedMaximum(new double[3], 4), "subsets of 4 scores out of 3");
        assertRefused(() -> BestOfN.expectedMaximum(new double[] {1, Double.NaN}, 1), "a score is NaN");
    }
}
