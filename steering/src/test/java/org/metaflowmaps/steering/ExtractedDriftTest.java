package org.metaflowmaps.steering;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.steering.GaussianMap.posteriorDeviation;
import static org.metaflowmaps.steering.GaussianMap.posteriorMean;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.drift.DrawsDrift;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.drift.StartDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.sampler.GlassSampler;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.evaluation.DriftDisagreement;

/** The drift inside the exact map of a Gaussian, and samplers that integrate it, compared with closed forms. */
final class ExtractedDriftTest {
    private static final float[] TIMES = {0, 0.1f, 0.5f, 0.8f, 0.95f};
    private static final double ROUNDING = 1e-4;

    private final long live = NativeMemory.liveTensors();
    private final GaussianMap map = new GaussianMap();
    private final RandomSource random = RandomSource.seeded(17);
    private final TensorScope scope = TensorScope.open();

    @AfterEach
    void nothingIsLeftBehind() {
        scope.close();
        random.close();
        map.close();
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** b_t(x) = (D_t(x) - x) / (1 - t). */
    private static double[] exact(Tensor state) {
        double[] drift = state.toDoubleArray();
        for (int i = 0; i < drift.length; i++) {
            double time = TIMES[i / 2];
            drift[i] = (posteriorMean(i % 2, time, drift[i]) - drift[i]) / (1 - time);
        }
        return drift;
    }

    @Test
    void allWaysGiveTheDrift() {
        Tensor time = Torch.of(TIMES);
        Tensor state = random.normal(TIMES.length, 2);
        double[] exact = exact(state);
        assertArrayEquals(
                exact, new NetworkDrift(map).at(time, state, Condition.none()).toDoubleArray(), ROUNDING);
        for (Tensor noise :
                new Tensor[] {Torch.zeros(1, 2), random.normal(TIMES.length, 2).mul(3)}) {
            assertArrayEquals(
                    exact,
                    new StartDrift(map, noise).at(time, state, Condition.none()).toDoubleArray(),
                    ROUNDING);
        }
        int draws = 4000;
        double[] drawn = new DrawsDrift(map, draws, random)
                .at(time, state, Condition.none())
                .toDoubleArray();
        for (int i = 0; i < drawn.length; i++) {
            double error = posteriorDeviation(i % 2, TIMES[i / 2]) / (1 - TIMES[i / 2]) / Math.sqrt(draws);
            assertEquals(exact[i], drawn[i], 5 * error, "t = " + TIMES[i / 2]);
        }
    }

    @Test
    void labelsReachTheMap() {
        Tensor labels = Torch.of(new long[] {3, 1});
        Tensor time = Torch.of(new float[] {0.2f, 0.4f});
        for (Drift drift : new Drift[] {new StartDrift(map, Torch.zeros(1, 2)), new DrawsDrift(map, 1, random)}) {
            drift.at(time, Torch.zeros(2, 2), Condition.labelled(labels));
            assertArrayEquals(new long[] {3, 1}, map.labels.getLast());
            assertArrayEquals(new float[] {0.2f, 0.4f}, map.times.getLast());
        }
    }

    @Test
    void disagreementOfAnExactMapIsChance() {
        Tensor items = random.normal(150, 2);
        Tensor labels = Torch.zeros(150).to(DType.INT64);
        DriftDisagreement found = DriftDisagreement.of(map, items, Condition.labelled(labels), 0.5, 8, random);
        assertEquals(0.5, found.time());
        assertTrue(found.drift() > 0.5, found.toString());
        assertEquals(0, found.emptyToStart(), ROUNDING);
        assertEquals(found.emptyToDraws(), found.startToDraws(), ROUNDING);
        // Deviations of the posterior over √draws and 1 - t, as a root mean square of the two coordinates.
        double expected = Math.hypot(posteriorDeviation(0, 0.5), posteriorDeviation(1, 0.5)) / Math.sqrt(2 * 8) / 0.5;
        assertEquals(expected, found.emptyToDraws(), 0.25 * expected);
        assertEquals(expected, found.chance(), 0.25 * expected);
    }

    @Test
    void eulerStepsOfGlassApproachTheMapsOwnDraws() {
        Context context = new Context(Torch.of(TIMES), random.normal(TIMES.length, 2));
        Tensor noise = random.normal(TIMES.length, 2);
        double[] exact =
                new PosteriorSampler(map, 1).sample(noise, context).samples().toDoubleArray();
        double[] states = context.state().toDoubleArray();
        double[] noises = noise.toDoubleArray();
        for (int i = 0; i < exact.length; i++) {
            assertEquals(
                    posteriorMean(i % 2, TIMES[i / 2], states[i]) + posteriorDeviation(i % 2, TIMES[i / 2]) * noises[i],
                    exact[i],
                    ROUNDING);
        }
        double[] errors = new double[2];
        for (int run = 0; run < 2; run++) {
            map.times.clear();
            double[] drawn = new GlassSampler(new Glass(new NetworkDrift(map)), 64 << run)
                    .sample(noise, context)
                    .samples()
                    .toDoubleArray();
            assertEquals(64 << run, map.times.size(), "evaluations");
            for (int i = 0; i < drawn.length; i++) {
                errors[run] += Math.abs(drawn[i] - exact[i]);
            }
        }
        assertTrue(errors[0] < 0.5, errors[0] + " in all");
        assertEquals(2, errors[0] / errors[1], 0.2, "a method of first order");
    }

    /** At time 0 an exact drift could use any point, but a network is accurate only at noise. */
    @Test
    void theFirstStepAsksForTheDriftAtTheNoisyStateAndAtNoiseWhereThereIsNone() {
        Context context = new Context(Torch.of(TIMES), random.normal(TIMES.length, 2));
        Tensor noise = random.normal(TIMES.length, 2);
        double[] states = context.state().toDoubleArray();
        System.arraycopy(noise.toDoubleArray(), 0, states, 0, 2);
        new GlassSampler(
                        new Glass((time, state, condition) -> {
                            assertArrayEquals(TIMES, time.toFloatArray(), 1e-6f);
                            assertArrayEquals(states, state.toDoubleArray(), 1e-6);
                            return Torch.zerosLike(state);
                        }),
                        1)
                .sample(noise, context);
    }

    @Test
    void samplersKeepOnlyTheirResults() {
        Context context = new Context(Torch.of(TIMES), random.normal(TIMES.length, 2));
        Tensor noise = random.normal(TIMES.length, 2);
        long before = NativeMemory.liveTensors();
        new GlassSampler(new Glass(new NetworkDrift(map)), 3).sample(noise, context);
        assertEquals(before + 1, NativeMemory.liveTensors());
        new DrawsDrift(map, 3, random).at(context.time(), noise, Condition.none());
        new StartDrift(map, noise).at(context.time(), noise, Condition.none());
        assertEquals(before + 3, NativeMemory.liveTensors());
        assertTrue(!noise.isFreed());
    }

    @Test
    void whatMakesNoSenseIsRefused() {
        Tensor one = Torch.of(new float[] {0.5f, 1});
        Tensor state = Torch.zeros(2, 2);
        assertThrows(IllegalArgumentException.class, () -> new StartDrift(map, state).at(one, state, Condition.none()));
        assertThrows(
                IllegalArgumentException.class, () -> new DrawsDrift(map, 1, random).at(one, state, Condition.none()));
        assertThrows(IllegalArgumentException.class, () -> new DrawsDrift(map, 0, random));
        assertThrows(IllegalArgumentException.class, () -> new GlassSampler(new Glass(new NetworkDrift(map)), 0));
        Tensor labels = Torch.zeros(2).to(DType.INT64);
        assertThrows(
                IllegalArgumentException.class,
                () -> DriftDisagreement.of(map, state, Condition.labelled(labels), 1, 2, random));
        assertThrows(
                IllegalArgumentException.class,
                () -> DriftDisagreement.of(map, state, Condition.labelled(labels), 0.5, 3, random));
        assertThrows(
                IllegalArgumentException.class,
                () -> DriftDisagreement.of(map, state.narrow(0, 0, 0), Condition.labelled(labels), 0.5, 2, random));
    }
}
