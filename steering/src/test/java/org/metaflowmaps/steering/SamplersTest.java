package org.metaflowmaps.steering;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.steering.GaussianMap.DEVIATION;
import static org.metaflowmaps.steering.GaussianMap.MEAN;
import static org.metaflowmaps.steering.GaussianMap.posteriorDeviation;
import static org.metaflowmaps.steering.GaussianMap.posteriorMean;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.MlpFlowMap;
import org.metaflowmaps.models.sampler.FlowMapSampler;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.OdeSampler;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.models.sampler.RefinementSampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.evaluation.DriftDisagreement;

/** Samplers on the exact map of a Gaussian, compared with closed forms for any number of steps. */
final class SamplersTest {
    private static final float[] TIMES = {0, 0.1f, 0.5f, 0.8f, 0.95f};
    private static final double ROUNDING = 2e-5;

    /** Allowed error of an estimate in standard deviations. */
    private static final double SIGMAS = 5;

    private static final int MANY = 40_000;

    private final long live = NativeMemory.liveTensors();
    private final GaussianMap map = new GaussianMap();
    private final RandomSource random = RandomSource.seeded(31);
    private final TensorScope scope = TensorScope.open();

    @AfterEach
    void nothingIsLeftBehind() {
        scope.close();
        random.close();
        map.close();
        assertEquals(live, NativeMemory.liveTensors());
    }

    private Context context() {
        return new Context(
                Torch.of(TIMES),
                random.normal(TIMES.length, 2).mul(2),
                Condition.labelled(random.integers(0, GaussianMap.CLASSES, TIMES.length)));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 8})
    void aPosteriorDrawIsTheMeanPlusTheSpreadTimesTheNoise(int steps) {
        Context context = context();
        Tensor noise = random.normal(TIMES.length, 2);
        float[] drawn = new PosteriorSampler(map, steps)
                .sample(noise, context)
                .samples()
                .toFloatArray();
        float[] states = context.state().toFloatArray();
        float[] noises = noise.toFloatArray();
        for (int i = 0; i < drawn.length; i++) {
            double time = TIMES[i / 2];
            assertEquals(
                    posteriorMean(i % 2, time, states[i]) + posteriorDeviation(i % 2, time) * noises[i],
                    drawn[i],
                    ROUNDING);
        }
        assertEquals(steps, map.times.size(), "evaluations");
        map.times.forEach(seen -> assertArrayEquals(TIMES, seen));
        assertArrayEquals(labels(context), map.labels.getLast());
    }

    private static long[] labels(Context context) {
        Tensor labels = context.condition().labels().orElseThrow();
        return labels == null ? new long[0] : labels.toLongArray();
    }

    @Test
    void drawsHaveThePosteriorsMoments() {
        int draws = 20_000;
        Context context = context();
        Tensor drawn =
                new PosteriorSampler(map, 2).sample(random, context, draws).samples();
        assertEquals(Shape.of(TIMES.length, draws, 2), drawn.shape());
        double[] means = drawn.mean(1).toDoubleArray();
        double[] variances = drawn.var(1).toDoubleArray();
        float[] states = context.state().toFloatArray();
        for (int i = 0; i < means.length; i++) {
            double deviation = posteriorDeviation(i % 2, TIMES[i / 2]);
            assertEquals(
                    posteriorMean(i % 2, TIMES[i / 2], states[i]),
                    means[i],
                    SIGMAS * deviation / Math.sqrt(draws),
                    "mean " + i);
            assertEquals(1, variances[i] / (deviation * deviation), SIGMAS * Math.sqrt(2.0 / draws), "variance " + i);
        }
        // Draws of one item are consecutive, and so are their labels.
        long[] given = labels(context);
        assertArrayEquals(
                IntStream.range(0, TIMES.length * draws)
                        .mapToLong(i -> given[i / draws])
                        .toArray(),
                map.labels.getFirst());
    }

    /**
     * The draw's derivative in x_t is that of the mean, t·S² / ((1 - t)² + t²·S²), because the spread does not depend
     * on x_t.
     */
    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void gradientsReachTheContext(int steps) {
        Context plain = context();
        Tensor state = plain.state().detach().requiresGrad_(true);
        Context context = new Context(plain.time(), state);
        Tensor weight = random.normal(TIMES.length, 2);
        Tensor drawn = new PosteriorSampler(map, steps)
                .sample(random.normal(TIMES.length, 2), context)
                .samples();
        float[] gradient = Autograd.gradients(drawn.mul(weight).sum(), List.of(state))
                .getFirst()
                .toFloatArray();
        float[] weights = weight.toFloatArray();
        for (int i = 0; i < gradient.length; i++) {
            double time = TIMES[i / 2];
            double variance = DEVIATION[i % 2] * DEVIATION[i % 2];
            double slope = time * variance / ((1 - time) * (1 - time) + time * time * variance);
            assertEquals(weights[i] * slope, gradient[i], ROUNDING, "t = " + time);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 5})
    void theFlowMapCarriesNoiseToTheData(int steps) {
        Tensor noise = random.normal(6, 2);
        long[] labels = {0, 1, 2, 3, 4, 0};
        float[] samples = new FlowMapSampler(map, steps)
                .sample(noise, Condition.labelled(Torch.of(labels)))
                .samples()
                .toFloatArray();
        float[] noises = noise.toFloatArray();
        for (int i = 0; i < samples.length; i++) {
            assertEquals(MEAN[i % 2] + DEVIATION[i % 2] * noises[i], samples[i], ROUNDING);
        }
        assertEquals(steps, map.times.size());
        map.times.forEach(seen -> assertArrayEquals(new float[6], seen));
        map.labels.forEach(seen -> assertArrayEquals(labels, seen));
    }

    /** Euler's result converges with more steps to the flow map's result. */
    @Test
    void theOdeNearsTheFlowMap() {
        Tensor noise = random.normal(64, 2);
        Tensor labels = random.integers(0, GaussianMap.CLASSES, 64);
        Tensor exact = new FlowMapSampler(map, 1)
                .sample(noise, Condition.labelled(labels))
                .samples();
        double before = Double.POSITIVE_INFINITY;
        for (int steps : new int[] {2, 8, 32, 128}) {
            map.times.clear();
            Tensor samples = new OdeSampler(new NetworkDrift(map), steps)
                    .sample(noise, Condition.labelled(labels))
                    .samples();
            assertEquals(steps, map.times.size(), "evaluations");
            assertArrayEquals(labels.toLongArray(), map.labels.getLast());
            double error = samples.sub(exact).abs().max().item();
            assertTrue(error < before / 3, steps + " steps: " + error + " after " + before);
            before = error;
        }
        assertTrue(before < 0.05, "128 steps: " + before);
    }

    /** Two explicit steps: x + ½·b_0(x), then another from there. */
    @Test
    void theOdeTakesEulersSteps() {
        Tensor noise = random.normal(5, 2);
        Tensor half = Torch.full(0.5, DType.FLOAT32, Device.CPU, 5);
        NetworkDrift drift = new NetworkDrift(map);
        Tensor middle = noise.add(drift.at(half.mul(0), noise, Condition.none()).mul(0.5));
        Tensor end = middle.add(drift.at(half, middle, Condition.none()).mul(0.5));
        assertArrayEquals(
                end.toDoubleArray(),
                new OdeSampler(drift, 2)
                        .sample(noise, Condition.none())
                        .samples()
                        .toDoubleArray(),
                1e-6);
    }

    @Test
    void mapsWithoutContextsHaveNoPosteriors() {
        try (MetaFlowMap flow = MlpFlowMap.zeros(
                MlpConfig.builder().dimension(2).width(4).depth(1).build().withoutContext(), Device.CPU)) {
            assertSays(() -> new PosteriorSampler(flow, 1), "posterior sampler: this map works without contexts");
            assertSays(() -> new RefinementSampler(flow, 1), "refinement sampler: this map works without contexts");
            Tensor items = Torch.zeros(2, 2);
            assertSays(
                    () -> DriftDisagreement.of(
                            flow, items, Condition.labelled(Torch.zeros(2).to(DType.INT64)), 0.5, 2, random),
                    "has one drift only");
            assertEquals(
                    Shape.of(3, 2),
                    new FlowMapSampler(flow, 1)
                            .sample(random.normal(3, 2), Condition.none())
                            .samples()
                            .shape());
        }
    }

    /** The algorithm in plain numbers, with the same noise. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 7})
    void refinementAlternatesExactDrawsAndFreshNoise(int steps) {
        Tensor initial = random.normal(3, 2);
        List<Tensor> given = new ArrayList<>();
        List<Tensor> first = new ArrayList<>(List.of(initial));
        Tensor samples = new RefinementSampler(map, steps)
                .sample(
                        () -> {
                            if (!first.isEmpty()) {
                                return first.removeFirst();
                            }
                            Tensor noise = random.normal(3, 2);
                            given.add(noise.clone().retain());
                            return noise;
                        },
                        Condition.none())
                .samples();
        double[] state = initial.toDoubleArray();
        for (int step = 0; step < steps; step++) {
            double time = (double) step / steps;
            double next = (step + 1.0) / steps;
            double[] draw = given.get(2 * step).toDoubleArray();
            double[] fresh = step + 1 < steps ? given.get(2 * step + 1).toDoubleArray() : new double[state.length];
            for (int i = 0; i < state.length; i++) {
                double clean = posteriorMean(i % 2, time, state[i]) + posteriorDeviation(i % 2, time) * draw[i];
                state[i] = (1 - next) * fresh[i] + next * clean;
            }
        }
        given.forEach(Tensor::close);
        assertArrayEquals(state, samples.toDoubleArray(), ROUNDING);
        assertEquals(steps, map.times.size(), "evaluations");
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 5})
    void refinementKeepsTheLawOfTheData(int steps) {
        Tensor samples = new RefinementSampler(map, steps)
                .sample(
                        Noise.of(random, map, MANY),
                        Condition.labelled(Torch.zeros(MANY).to(DType.INT64)))
                .samples();
        double[] means = samples.mean(0).toDoubleArray();
        double[] variances = samples.var(0).toDoubleArray();
        for (int i = 0; i < 2; i++) {
            assertEquals(MEAN[i], means[i], SIGMAS * DEVIATION[i] / Math.sqrt(MANY), "mean " + i);
            assertEquals(
                    1, variances[i] / (DEVIATION[i] * DEVIATION[i]), SIGMAS * Math.sqrt(2.0 / MANY), "variance " + i);
        }
        double[] values = samples.toDoubleArray();
        double covariance = IntStream.range(0, MANY)
                        .mapToDouble(i -> (values[2 * i] - MEAN[0]) * (values[2 * i + 1] - MEAN[1]))
                        .sum()
                / MANY;
        assertEquals(0, covariance, SIGMAS * DEVIATION[0] * DEVIATION[1] / Math.sqrt(MANY), "covariance");
    }

    @Test
    void samplersKeepOnlyTheirResults() {
        Context context = context();
        Tensor labels = Torch.of(new long[] {0, 1});
        Tensor noise = random.normal(2, 2);
        long before = NativeMemory.liveTensors();
        new PosteriorSampler(map, 3).sample(random, context, 4);
        assertEquals(before + 1, NativeMemory.liveTensors());
        new RefinementSampler(map, 3).sample(Noise.of(random, map, 2), Condition.labelled(labels));
        assertEquals(before + 2, NativeMemory.liveTensors());
        new FlowMapSampler(map, 3).sample(noise, Condition.labelled(labels));
        assertEquals(before + 3, NativeMemory.liveTensors());
        new OdeSampler(new NetworkDrift(map), 3).sample(noise, Condition.labelled(labels));
        assertEquals(before + 4, NativeMemory.liveTensors());
    }

    @Test
    void nothingToDoIsRefused() {
        for (int steps : new int[] {0, -1}) {
            for (Runnable made : Arrays.<Runnable>asList(
                    () -> new PosteriorSampler(map, steps),
                    () -> new FlowMapSampler(map, steps),
                    () -> new RefinementSampler(map, steps),
                    () -> new OdeSampler(new NetworkDrift(map), steps))) {
                assertSays(made, steps + " steps, expected at least 1");
            }
        }
        assertSays(() -> new PosteriorSampler(map, 1).sample(random, context(), 0), "0 draws, expected at least 1");
    }

    private static void assertSays(Runnable action, String part) {
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, action::run).getMessage());
        assertTrue(message.contains(part), message);
    }
}
