package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.HostReads;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.BadScoreException;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.ValueFunction;

/** What a filter does besides the right mean: items, records, illegal scores, cancellation, memory. */
final class FilterBehaviourTest {
    private static final int PARTICLES = 16;
    private static final TimeGrid GRID = TimeGrid.of(0, 0.2, 0.45, 0.7, 1);

    private final long live = NativeMemory.liveTensors();
    private final MixtureFilter mixture = new MixtureFilter();
    private final TensorScope scope = TensorScope.open();

    @AfterEach
    void nothingIsLeftBehind() {
        scope.close();
        mixture.close();
        assertEquals(live, NativeMemory.liveTensors());
    }

    private record Of(UnaryOperator<Tensor> function) implements Reward {
        @Override
        public String name() {
            return "test";
        }

        @Override
        public Tensor score(Tensor samples, Condition condition) {
            return function.apply(samples);
        }

        @Override
        public boolean takesStates() {
            return true;
        }
    }

    private ParticleFilter filter(Tilt tilt, double threshold, Tempering tempering) {
        return new ParticleFilter(
                Potential.of(new ValueFunction(mixture.map, tilt, 4)),
                new Transition.PosteriorDraw(mixture.map),
                GRID,
                PARTICLES,
                threshold,
                tempering);
    }

    private static ParticleResult run(ParticleFilter filter, long first, int count) {
        return filter.run(MixtureFilter.noise(8, first, count, filter.particles()), Condition.none());
    }

    private static List<Tensor> perItem(ParticleResult result, int item, int items) {
        List<Tensor> parts = new ArrayList<>();
        for (Tensor rows : List.of(
                result.samples(),
                result.particles(),
                result.logWeights(),
                result.scores(),
                result.survivors(),
                result.logNormaliser())) {
            long own = rows.size(0) / items;
            parts.add(rows.narrow(0, item * own, own));
        }
        for (Tensor steps : List.of(result.effectiveSize(), result.ancestors(), result.factors())) {
            parts.add(steps.narrow(1, item, 1));
        }
        return parts;
    }

    /** Three items at once equal three single runs: every record of each item. No two items are equal. */
    @Test
    void itemsAreIndependent() {
        List<ParticleFilter> filters = new ArrayList<>();
        for (double threshold : new double[] {0, 0.5, 0.9, 1}) {
            filters.add(filter(mixture.tilt, threshold, Tempering.NONE));
        }
        filters.add(filter(mixture.tilt, 0.9, new Tempering.Adaptive(0.8)));
        filters.add(ParticleFilter.twistedDiffusion(mixture.data.uncheckedDrift(), mixture.tilt, GRID, PARTICLES, 0.5));
        boolean decidedByItem = false;
        for (ParticleFilter filter : filters) {
            ParticleResult together = run(filter, 20, 3);
            double[] normalisers = together.logNormaliser().toDoubleArray();
            assertEquals(3, Arrays.stream(normalisers).distinct().count());
            for (int item = 0; item < 3; item++) {
                List<Tensor> mine = perItem(together, item, 3);
                List<Tensor> alone = perItem(run(filter, 20 + item, 1), 0, 1);
                for (int i = 0; i < mine.size(); i++) {
                    assertArrayEquals(alone.get(i).toDoubleArray(), mine.get(i).toDoubleArray(), 1e-9, "record " + i);
                }
            }
            // In some step one item is resampled and another is not.
            boolean[][] moved = resampled(together);
            for (boolean[] step : moved) {
                decidedByItem |= step[0] != step[1] || step[1] != step[2];
            }
        }
        assertTrue(decidedByItem);
    }

    private static boolean[][] resampled(ParticleResult result) {
        int steps = (int) result.ancestors().size(0);
        int items = (int) result.ancestors().size(1);
        int count = (int) result.ancestors().size(2);
        long[] ancestors = result.ancestors().toLongArray();
        boolean[][] resampled = new boolean[steps][items];
        for (int i = 0; i < ancestors.length; i++) {
            resampled[i / (items * count)][i / count % items] |= ancestors[i] != i % count;
        }
        return resampled;
    }

    /** Items are resampled where the recorded effective size is below the threshold, and only there; survivors follow from ancestors. */
    @Test
    void recordsAgree() {
        for (double threshold : new double[] {0, 0.6, 1}) {
            ParticleResult result = run(filter(mixture.tilt, threshold, Tempering.NONE), 0, 5);
            double[] sizes = result.effectiveSize().toDoubleArray();
            boolean[][] resampled = resampled(result);
            for (int i = 0; i < 5 * GRID.steps(); i++) {
                boolean expected = threshold == 1 || sizes[i] < threshold * PARTICLES;
                assertEquals(expected, resampled[i / 5][i % 5], threshold + ": " + sizes[i]);
            }
            long[] ancestors = result.ancestors().toLongArray();
            long[] survivors = result.survivors().toLongArray();
            for (int item = 0; item < 5; item++) {
                long[] origin = new long[PARTICLES];
                for (int i = 0; i < PARTICLES; i++) {
                    origin[i] = i;
                    for (int step = GRID.steps() - 1; step >= 0; step--) {
                        origin[i] = ancestors[(step * 5 + item) * PARTICLES + (int) origin[i]];
                    }
                }
                assertEquals(Arrays.stream(origin).distinct().count(), survivors[item]);
            }
            double[] sums = result.logWeights().exp().sum(1).toDoubleArray();
            assertArrayEquals(new double[] {1, 1, 1, 1, 1}, sums, 1e-12);
        }
    }

    /** What the draw is: a particle by its weight. The best one has a much higher score than the tilted law gives. */
    @Test
    void theSampleIsDrawnByWeights() {
        ParticleResult result = run(filter(mixture.tilt, 0.5, Tempering.NONE), 0, 300);
        double tilted = result.scores().mul(result.logWeights().exp()).sum().item() / 300;
        double drawn =
                mixture.tilt.at(result.samples(), Condition.none()).mean().item();
        double best = mixture.tilt.at(result.best(), Condition.none()).mean().item();
        System.out.printf("mean of lambda*r: weighted %.3f, drawn %.3f, best %.4f%n", tilted, drawn, best);
        assertEquals(tilted, drawn, 0.1);
        assertTrue(best > tilted + 0.2, best + " and " + tilted);
        double[] scores = mixture.tilt.at(result.best(), Condition.none()).toDoubleArray();
        assertArrayEquals(result.scores().amax(1).toDoubleArray(), scores, 1e-12);
    }

    /** A constant reward c: log Ẑ = λc, and without resampling the particles are the bits of the transitions alone. */
    @Test
    void aConstantRewardChangesNothing() {
        Tilt constant = new Tilt(new Of(x -> x.mul(0).sum(1).add(3)), 0.7);
        SteeringNoise noise = MixtureFilter.noise(8, 0, 2, PARTICLES);
        Tensor states = noise.normal(SteeringNoise.Use.START, 0);
        try (Autograd.Mode off = Autograd.noGrad()) {
            for (int step = 0; step < GRID.steps(); step++) {
                states = Moves.move(
                                new Transition.PosteriorDraw(mixture.map),
                                new Point(GRID.time(step), step, states, Condition.none(), noise),
                                Optional.empty(),
                                GRID.time(step + 1))
                        .states();
            }
        }
        for (double threshold : new double[] {0, 0.5, 0.9}) {
            ParticleResult result = run(filter(constant, threshold, Tempering.NONE), 0, 2);
            assertArrayEquals(states.toDoubleArray(), result.particles().toDoubleArray(), 0);
            assertArrayEquals(new double[] {2.1, 2.1}, result.logNormaliser().toDoubleArray(), 1e-12);
        }
        ParticleResult always = run(filter(constant, 1, new Tempering.Adaptive(0.5)), 0, 2);
        assertArrayEquals(new double[] {2.1, 2.1}, always.logNormaliser().toDoubleArray(), 1e-12);
        ParticleResult tempered = run(filter(constant, 1, new Tempering.Fixed(t -> t)), 0, 2);
        assertArrayEquals(new double[] {2.1, 2.1}, tempered.logNormaliser().toDoubleArray(), 1e-12);
    }

    /** Impossible samples have weight 0; with the reward's half plane log Ẑ is about log ½. */
    @Test
    void negativeInfinityIsLegal() {
        Tilt half = new Tilt(
                new Of(x -> Torch.zerosLike(x.select(1, 0))
                        .maskedFill(x.select(1, 0).lt(0), Double.NEGATIVE_INFINITY)),
                1);
        for (Tempering tempering : List.of(Tempering.NONE, new Tempering.Fixed(t -> t), new Tempering.Adaptive(0.5))) {
            for (double threshold : new double[] {0, 0.5, 1}) {
                ParticleResult result = run(filter(half, threshold, tempering), 0, 40);
                assertFalse(hasNaN(result));
                // Few draws that all miss end a particle, so that this is a lower bound: see ParticleFilter.
                double mean = result.logNormaliser().exp().mean().item();
                assertEquals(0.47, mean, 0.1, tempering + " " + threshold);
                assertTrue(result.samples().select(1, 0).min().item() >= 0);
            }
        }
    }

    private static boolean hasNaN(ParticleResult result) {
        for (Tensor each : List.of(
                result.samples(),
                result.particles(),
                result.logWeights(),
                result.effectiveSize(),
                result.logNormaliser(),
                result.factors())) {
            for (double value : each.toDoubleArray()) {
                if (Double.isNaN(value)) {
                    return true;
                }
            }
        }
        return false;
    }

    /** An item without any possible particle says so, and does not disturb its neighbour. */
    @Test
    void anItemWithoutWeightHasNormaliserZero() {
        int rows = 2 * PARTICLES;
        // The first item's rows come first, each with its draws.
        Tilt firstDies = new Tilt(
                new Of(x -> x.select(1, 0)
                        .maskedFill(Torch.arange(x.size(0)).lt(x.size(0) / 2.0), Double.NEGATIVE_INFINITY)),
                0.3);
        for (double threshold : new double[] {0, 0.5, 1}) {
            ParticleFilter filter = filter(firstDies, threshold, Tempering.NONE);
            ParticleResult result = run(filter, 0, 2);
            assertFalse(hasNaN(result));
            double[] normalisers = result.logNormaliser().toDoubleArray();
            assertEquals(Double.NEGATIVE_INFINITY, normalisers[0]);
            assertTrue(Double.isFinite(normalisers[1]));
            assertEquals(0, result.effectiveSize().select(1, 0).max().item());
            assertEquals(PARTICLES, result.survivors().toLongArray()[0]);
            assertEquals(
                    -Math.log(PARTICLES), result.logWeights().select(0, 0).min().item(), 1e-12);
            assertEquals(rows, result.particles().size(0));
        }
    }

    @Test
    void aNaNScoreEndsTheRun() {
        Tilt broken = new Tilt(new Of(x -> x.select(1, 0).log()), 1);
        BadScoreException thrown =
                assertThrows(BadScoreException.class, () -> run(filter(broken, 0.5, Tempering.NONE), 30, 2));
        assertSays("step 0", thrown);
        assertSays("item 30, particle", thrown);
    }

    /** A bisected factor leaves the share of particles, or keeps the factor of the step before; at the end it is 1. */
    @Test
    void adaptiveFactorsLeaveTheSize() {
        double share = 0.8;
        ParticleFilter filter = filter(mixture.tilt.withStrength(0.4), 0.9, new Tempering.Adaptive(share));
        ParticleResult result = run(filter, 0, 6);
        double[] factors = result.factors().toDoubleArray();
        double[] sizes = result.effectiveSize().toDoubleArray();
        int exact = 0;
        for (int i = 0; i < factors.length; i++) {
            double before = i < 6 ? 0 : factors[i - 6];
            assertTrue(factors[i] >= before && factors[i] <= 1);
            if (i >= 6 * GRID.steps()) {
                assertEquals(1, factors[i]);
            } else if (factors[i] > before + 1e-6 && factors[i] < 1) {
                assertEquals(share * PARTICLES, sizes[i], 1e-4);
                exact++;
            }
        }
        assertTrue(exact > 6, "bisected " + exact);
    }

    /** After the first step each leaves as many live tensors as the one before, and cancelling leaves none. */
    @Test
    void memoryIsFlatAndCancellingIsQuick() {
        List<Long> counts = new ArrayList<>();
        SamplingListener listener = new SamplingListener() {
            @Override
            public void stepDone(int done, int steps) {
                counts.add(NativeMemory.liveTensors());
            }

            @Override
            public boolean isCancelled() {
                return counts.size() == 3;
            }
        };
        ParticleFilter guided =
                ParticleFilter.twistedDiffusion(mixture.data.uncheckedDrift(), mixture.tilt, GRID, PARTICLES, 0.5);
        for (ParticleFilter filter : List.of(filter(mixture.tilt, 0.5, new Tempering.Adaptive(0.5)), guided)) {
            counts.clear();
            long before = NativeMemory.liveTensors();
            SteeringNoise noise = MixtureFilter.noise(8, 0, 2, PARTICLES);
            CancellationException thrown =
                    assertThrows(CancellationException.class, () -> filter.run(noise, Condition.none(), listener));
            assertSays("after 3 of 4 steps", thrown);
            assertEquals(before, NativeMemory.liveTensors());
            assertEquals(counts.get(0), counts.get(1));
            assertEquals(counts.get(1), counts.get(2));
        }
    }

    private static void assertSays(String expected, Exception thrown) {
        String message = String.valueOf(thrown.getMessage());
        assertTrue(message.contains(expected), message);
    }

    /** Weights of map and reward that require gradients leave no graph in the results. */
    @Test
    void noGraphIsKept() {
        try (MetaFlowMap map = SmallNetworks.transformer()) {
            Tensor factor = Torch.full(0.2, DType.FLOAT32, Device.CPU, 1).requiresGrad_(true);
            assertFalse(map.parameters().isFrozen());
            Tilt tilt = new Tilt(new Of(x -> x.reshape(x.size(0), -1).mean(1).mul(factor)), 1);
            ParticleFilter filter = new ParticleFilter(
                    Potential.of(new ValueFunction(map, tilt, 2)), new Transition.PosteriorDraw(map), GRID, 4, 0.9);
            Condition labels = Condition.labelled(Torch.of(new long[] {1, 0}));
            ParticleResult result = filter.run(KeyedNoise.of(3, 0, 2, 4, map.itemShape(), Device.CPU), labels);
            for (Tensor each : List.of(
                    result.samples(),
                    result.particles(),
                    result.logWeights(),
                    result.scores(),
                    result.logNormaliser())) {
                assertFalse(each.requiresGrad());
            }
        }
    }

    /** With a network nothing is read back in a step: reads do not grow with steps. Labels are those of the items. */
    @Test
    void stepsReadNothingBack() {
        try (MetaFlowMap map = SmallNetworks.transformer();
                MetaFlowMap frozen = map.copy(DType.FLOAT32)) {
            Tilt tilt = new Tilt(new Of(x -> x.reshape(x.size(0), -1).sum(1).mul(0.1)), 1);
            long[] reads = new long[2];
            for (int i = 0; i < 2; i++) {
                ParticleFilter filter = new ParticleFilter(
                        Potential.of(new ValueFunction(frozen, tilt, 2)),
                        new Transition.PosteriorDraw(frozen),
                        TimeGrid.uniform(3 + 6 * i),
                        4,
                        0.9,
                        new Tempering.Adaptive(0.5));
                SteeringNoise noise = KeyedNoise.of(3, 0, 2, 4, frozen.itemShape(), Device.CPU);
                Condition labels = Condition.labelled(Torch.of(new long[] {1, 0}));
                long before = HostReads.count();
                ParticleResult result = filter.run(noise, labels);
                reads[i] = HostReads.count() - before;
                assertEquals(frozen.itemShape().prepend(2), result.samples().shape());
                assertEquals(4 * ((3 + 6 * i) * 5L + 1), result.evaluations());
                assertThrows(
                        IllegalArgumentException.class,
                        () -> filter.run(noise, labels.repeatInterleave(4)),
                        "labels of particles");
            }
            assertEquals(reads[0], reads[1]);
        }
    }

    /** In a guided step log M - log Q is that of the two Gaussians. */
    @Test
    void theRatioIsThatOfTheDensities() {
        double time = 0.4;
        double next = 0.55;
        Tilt tilt = mixture.tilt.withStrength(0.3);
        SteeringNoise noise = MixtureFilter.noise(8, 0, 1, PARTICLES);
        Tensor state = noise.normal(SteeringNoise.Use.START, 0);
        ParticleFilter filter =
                ParticleFilter.twistedDiffusion(mixture.data.uncheckedDrift(), tilt, GRID, PARTICLES, 0.5);
        Point point = new Point(time, 2, state, Condition.none(), noise);
        Potential.Value value = filter.potential().at(point);
        Moves.Move move = Moves.move(filter.transition(), point, value.estimate(), next);
        double[] x = state.toDoubleArray();
        double[] there = move.states().toDoubleArray();
        double[] base = value.estimate().orElseThrow().base().toDoubleArray();
        double[] correction = value.estimate().orElseThrow().correction().toDoubleArray();
        double[] ratio = move.logRatio().orElseThrow().toDoubleArray();
        double variance = 2 * (1 - time) / time * (next - time);
        for (int row = 0; row < PARTICLES; row++) {
            double expected = 0;
            for (int i = 2 * row; i < 2 * row + 2; i++) {
                double free = x[i] + (next - time) * (2 * base[i] - x[i] / time);
                double guided = free + (next - time) * 2 * correction[i];
                expected += (Math.pow(there[i] - guided, 2) - Math.pow(there[i] - free, 2)) / (2 * variance);
            }
            assertEquals(expected, ratio[row], 1e-9);
            assertNotEquals(0, expected);
        }
    }

    @Test
    void wrongSettingsAreRefused() {
        ParticleFilter good = filter(mixture.tilt, 0.5, Tempering.NONE);
        for (double threshold : new double[] {-0.1, 1.1, Double.NaN}) {
            assertThrows(
                    IllegalArgumentException.class,
                    () -> new ParticleFilter(good.potential(), good.transition(), GRID, 4, threshold));
        }
        assertThrows(
                IllegalArgumentException.class,
                () -> new ParticleFilter(good.potential(), good.transition(), GRID, 0, 0.5));
        IllegalArgumentException late = assertThrows(
                IllegalArgumentException.class,
                () -> new ParticleFilter(good.potential(), good.transition(), TimeGrid.linspace(0.01, 4), 4, 0.5));
        assertSays("expected 0", late);
        assertThrows(IllegalArgumentException.class, () -> new Tempering.Adaptive(1));
        assertThrows(
                IllegalArgumentException.class,
                () -> run(filter(mixture.tilt, 0.5, new Tempering.Fixed(t -> -1)), 0, 1));
        IllegalArgumentException rows = assertThrows(
                IllegalArgumentException.class, () -> good.run(MixtureFilter.noise(8, 0, 2, 3), Condition.none()));
        assertSays("expected 16 particles", rows);
        IllegalArgumentException guided = assertThrows(
                IllegalArgumentException.class,
                () -> run(
                        new ParticleFilter(
                                good.potential(),
                                ParticleFilter.twistedDiffusion(mixture.data.uncheckedDrift(), mixture.tilt, GRID, 4, 0)
                                        .transition(),
                                GRID,
                                4,
                                0.5),
                        0,
                        1));
        assertSays("Potential.twisted", guided);
    }
}
