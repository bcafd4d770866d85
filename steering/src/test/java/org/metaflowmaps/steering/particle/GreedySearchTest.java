package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.runtime.HostReads;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.ExactMixtureMap;
import org.metaflowmaps.steering.particle.GreedySearch.Renoising;
import org.metaflowmaps.steering.particle.GreedySearch.Resampling;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.BadScoreException;
import org.metaflowmaps.steering.value.ValueFunction;

final class GreedySearchTest {
    private static final Tilt NEAR = new Tilt(SearchRewards.near(0.4), 1);

    private static GreedySearch search(ValueFunction value, int steps, Resampling resampling, Renoising renoising) {
        return new GreedySearch(value, GreedySearch.paperGrid(steps), 3, resampling, renoising);
    }

    private static GreedySearch search(ValueFunction value, int steps) {
        return search(value, steps, Resampling.MAX_OVERALL, Renoising.STOCHASTIC);
    }

    /** An item's result depends on its index alone: not on its neighbours, the batch, or the draws evaluated at once. */
    @ParameterizedTest
    @EnumSource(Resampling.class)
    void itemsDoNotDependOnTheirNeighbours(Resampling resampling) {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer()) {
            for (Renoising renoising : Renoising.values()) {
                GreedySearch.Result all = search(new ValueFunction(map, NEAR, 4), 4, resampling, renoising)
                        .run(
                                SearchNoise.of(map.itemShape(), 3, 5, 6, 7),
                                Condition.labelled(Torch.of(new long[] {0, 1, 2})));
                ValueFunction chunked = new ValueFunction(map, NEAR, 4, ValueFunction.Noise.IID, 1);
                for (int i = 0; i < 3; i++) {
                    GreedySearch.Result one = search(chunked, 4, resampling, renoising)
                            .run(SearchNoise.of(map.itemShape(), 3, 5 + i), Condition.labelled(Torch.of(new long[] {i
                            })));
                    assertArrayEquals(
                            one.samples().toFloatArray(),
                            all.samples().select(0, i).toFloatArray(),
                            1e-5f);
                    assertArrayEquals(
                            one.particles().toFloatArray(),
                            all.particles().narrow(0, 3L * i, 3).toFloatArray(),
                            1e-5f);
                }
            }
        }
    }

    /** The best is the particle with the highest score, and scores are those of the particles, whatever λ is. */
    @Test
    void theBestParticleIsReturnedWithItsScore() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap()) {
            double[][] samples = new double[2][];
            for (int i = 0; i < 2; i++) {
                Tilt tilt = NEAR.withStrength(i == 0 ? 1 : 7);
                GreedySearch.Result found = search(
                                new ValueFunction(map, tilt, 4), 5, Resampling.MAX_PER_PARTICLE, Renoising.STOCHASTIC)
                        .run(SearchNoise.plane(3, 6), Condition.none());
                assertArrayEquals(
                        NEAR.score(found.particles(), Condition.none()).toDoubleArray(),
                        found.particleScores().toDoubleArray(),
                        1e-12);
                assertArrayEquals(
                        found.particleScores().amax(1).toDoubleArray(),
                        found.scores().toDoubleArray(),
                        0);
                assertArrayEquals(
                        NEAR.score(found.samples(), Condition.none()).toDoubleArray(),
                        found.scores().toDoubleArray(),
                        1e-12);
                assertEquals(Spent.Ending.COMPLETE, found.spent().ending());
                assertEquals(2 * 3 * 4 * 5, found.spent().evaluations());
                samples[i] = found.samples().toDoubleArray();
            }
            assertArrayEquals(samples[0], samples[1], 0);
        }
    }

    /** The paper's 16,000 evaluations (method §8.4). */
    @Test
    void thePapersSettingsAreTheDefault() {
        try (ExactMixtureMap map = new ExactMixtureMap()) {
            GreedySearch search = new GreedySearch(new ValueFunction(map, NEAR, 4));
            assertEquals(16_000, search.evaluations());
            assertEquals(Math.pow(0.01 + 0.99 / 250, 2.5), search.grid().time(1), 1e-15);
        }
    }

    /** More steps read back nothing more, and keep no tensor. */
    @Test
    void stepsReadNothingBack() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer()) {
            for (Renoising renoising : Renoising.values()) {
                long[] reads = new long[2];
                List<Long> live = new ArrayList<>();
                for (int i = 0; i < 2; i++) {
                    GreedySearch search =
                            search(new ValueFunction(map, NEAR, 2), 4 + 4 * i, Resampling.MAX_OVERALL, renoising);
                    SamplingListener listener = new SamplingListener() {
                        @Override
                        public void stepDone(int done, int steps) {
                            if (steps == 8 && done >= 2) {
                                live.add(NativeMemory.liveTensors());
                            }
                        }
                    };
                    try (TensorScope inner = TensorScope.open()) {
                        long before = HostReads.count();
                        search.run(SearchNoise.of(map.itemShape(), 3, 0, 1), Condition.none(), Budget.NONE, listener);
                        reads[i] = HostReads.count() - before;
                    }
                }
                assertEquals(reads[0], reads[1], "values read by 4 and by 8 steps");
                assertEquals(1, live.stream().distinct().count(), () -> "live tensors by step: " + live);
            }
        }
    }

    @Test
    void budgetsAndListenersEndTheSearchWithWhatItHas() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap()) {
            GreedySearch search = search(new ValueFunction(map, NEAR, 4), 6);
            long step = 2 * 3 * 4;
            GreedySearch.Result counted = search.run(
                    SearchNoise.plane(3, 2),
                    Condition.none(),
                    Budget.ofEvaluations(3 * step - 1),
                    SamplingListener.NONE);
            assertEquals(2 * step, counted.spent().evaluations());
            assertEquals(Spent.Ending.BUDGET, counted.spent().ending());
            SearchNoise.Heard two = new SearchNoise.Heard(2);
            GreedySearch.Result cancelled = search.run(SearchNoise.plane(3, 2), Condition.none(), Budget.NONE, two);
            assertEquals(Spent.Ending.CANCELLED, cancelled.spent().ending());
            assertEquals(List.of("1/6", "2/6"), two.calls);
            assertArrayEquals(
                    counted.samples().toDoubleArray(), cancelled.samples().toDoubleArray(), 0);
            assertArrayEquals(
                    NEAR.score(cancelled.samples(), Condition.none()).toDoubleArray(),
                    cancelled.scores().toDoubleArray(),
                    1e-12,
                    "clean draws, not noisy states");
            GreedySearch.Result timed = search.run(
                    SearchNoise.plane(3, 2), Condition.none(), Budget.ofSeconds(1e-9), SamplingListener.NONE);
            assertEquals(step, timed.spent().evaluations());
            assertEquals(Spent.Ending.BUDGET, timed.spent().ending());
            Clock clock = new Clock(2);
            Spent four = search.run(SearchNoise.plane(3, 2), Condition.none(), Budget.ofSeconds(7), clock, clock)
                    .spent();
            assertEquals(4 * step, four.evaluations(), "the step that begins at 6 s is the last");
            assertEquals(Duration.ofSeconds(8), four.time());
            long before = NativeMemory.liveTensors();
            assertThrows(
                    CancellationException.class,
                    () -> search.run(SearchNoise.plane(3, 2), Condition.none(), Budget.NONE, new SearchNoise.Heard(0)));
            assertEquals(before, NativeMemory.liveTensors());
        }
    }

    /** A branch of negative infinity is left; NaN ends the run with its address. */
    @Test
    void infiniteScoresAreAllowedAndNanIsNot() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap()) {
            Tilt half = new Tilt(
                    SearchRewards.of(
                            x -> x.select(1, 0).maskedFill(x.select(1, 0).lt(0), Double.NEGATIVE_INFINITY)),
                    1);
            GreedySearch.Result found =
                    search(new ValueFunction(map, half, 4), 6).run(SearchNoise.plane(3, 4), Condition.none());
            for (double score : found.scores().toDoubleArray()) {
                assertTrue(score > 0, "score " + score);
            }
            Tilt bad = new Tilt(SearchRewards.of(x -> x.select(1, 0).mul(Double.NaN)), 1);
            GreedySearch broken = search(new ValueFunction(map, bad, 2), 3);
            assertRefused(
                    BadScoreException.class,
                    () -> broken.run(SearchNoise.plane(3, 2), Condition.none()),
                    "NaN at step 0 for item 0, particle 0");
        }
    }

    @Test
    void badSettingsAreRefused() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap()) {
            ValueFunction value = new ValueFunction(map, NEAR, 2);
            assertRefused(
                    () -> new GreedySearch(new ValueFunction(map, NEAR.withStrength(-1), 2)),
                    "lambda is -1.0",
                    "to minimise it, give its negative");
            assertRefused(
                    () -> search(value, 3)
                            .run(
                                    SearchNoise.plane(3, 2),
                                    Condition.none(),
                                    Budget.ofEvaluations(11),
                                    SamplingListener.NONE),
                    "the budget is 11 evaluations, but the first step costs 12");
            assertRefused(
                    () -> search(value, 3).run(SearchNoise.plane(2, 3), Condition.none()),
                    "6 rows for 3 items, expected 3 for each item");
            assertRefused(
                    () -> search(value, 3).run(SearchNoise.plane(3, 2), Condition.labelled(Torch.of(new long[6]))),
                    "6 labels for 2 items");
            assertRefused(() -> Budget.ofEvaluations(0), "0 evaluations", "Budget.NONE");
            assertRefused(() -> Budget.ofSeconds(Double.NaN), "NaN seconds");
        }
    }
}
