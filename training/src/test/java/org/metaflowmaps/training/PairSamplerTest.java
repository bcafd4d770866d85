package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.Pair;
import org.metaflowmaps.training.model.Context;

/** The laws of what the losses see, each by the empirical distribution of many draws. */
final class PairSamplerTest {
    private static final int DRAWS = 50_000;
    private static final int CLASSES = 3;

    /** Kolmogorov's statistic stays below this over the root of the number of draws, but for one case in 10,000. */
    private static final double KOLMOGOROV = 2.23;

    /** Standard deviations that an average may be off. */
    private static final double SIGMAS = 4.5;

    private final RandomSource random = RandomSource.seeded(23);
    private final TensorScope scope = TensorScope.open();
    private Tensor data = Torch.zeros(1);
    private Tensor labels = Torch.zeros(1);

    @BeforeEach
    void drawData() {
        data = random.normal(DRAWS, 1).mul(3).add(2);
        labels = random.integers(0, CLASSES, DRAWS);
    }

    @AfterEach
    void free() {
        scope.close();
        random.close();
    }

    private PairSampler sampler(double power, double atom, double drop) {
        return new PairSampler(new TrainConfig.Times(power, atom), drop, random);
    }

    private Context context(PairSampler sampler) {
        return sampler.context(new TrainingData.Batch(data, labels), CLASSES);
    }

    private static void assertLaw(double[] values, DoubleUnaryOperator distribution, String what) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        double farthest = 0;
        for (int i = 0; i < sorted.length; i++) {
            double expected = distribution.applyAsDouble(sorted[i]);
            farthest = Math.max(farthest, Math.max(expected - (double) i / sorted.length, (i + 1.0) / sorted.length - expected));
        }
        assertTrue(farthest < KOLMOGOROV / Math.sqrt(sorted.length), what + ": distributions apart by " + farthest);
    }

    private static void assertUncorrelated(double[] left, double[] right, String what) {
        double[] a = standardised(left);
        double[] b = standardised(right);
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += a[i] * b[i];
        }
        assertEquals(0, sum / a.length, SIGMAS / Math.sqrt(a.length), what);
    }

    private static double[] standardised(double[] values) {
        double mean = Arrays.stream(values).average().orElseThrow();
        double variance = Arrays.stream(values).map(value -> (value - mean) * (value - mean)).average().orElseThrow();
        return Arrays.stream(values).map(value -> (value - mean) / Math.sqrt(variance)).toArray();
    }

    /** The standard normal distribution, by the error function of a library that the sampler does not use. */
    private static void assertStandardNormal(double[] values, String what) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        double[] expected;
        try (TensorScope inner = TensorScope.open()) {
            expected = Torch.of(sorted, sorted.length).div(Math.sqrt(2)).erf().add(1).div(2).toDoubleArray();
        }
        double farthest = 0;
        for (int i = 0; i < sorted.length; i++) {
            farthest = Math.max(farthest, Math.max(expected[i] - (double) i / sorted.length, (i + 1.0) / sorted.length - expected[i]));
        }
        assertTrue(farthest < KOLMOGOROV / Math.sqrt(sorted.length), what + ": distributions apart by " + farthest);
    }

    @Test
    void contextTimesAreAPowerOfUniformsWithAnAtomAtZero() {
        double[] times = context(sampler(2, 0.1, 0)).time().toDoubleArray();
        double[] positive = Arrays.stream(times).filter(time -> time > 0).toArray();
        assertEquals(0.9, (double) positive.length / DRAWS, SIGMAS * Math.sqrt(0.09 / DRAWS));
        assertLaw(positive, Math::sqrt, "t given t > 0");
    }

    @Test
    void theAtomMayBeNothingOrAll() {
        assertLaw(context(sampler(1, 0, 0)).time().toDoubleArray(), time -> time, "t");
        assertArrayEquals(new double[DRAWS], context(sampler(1, 1, 0)).time().toDoubleArray());
    }

    @Test
    void contextStatesAreTheSameDataWithFreshNormalNoise() {
        Context context = context(sampler(2, 0.1, 0));
        double[] times = context.time().toDoubleArray();
        double[] states = context.state().toDoubleArray();
        double[] clean = data.toDoubleArray();
        double[] noise = new double[DRAWS];
        int count = 0;
        double[] at = new double[DRAWS];
        double[] of = new double[DRAWS];
        for (int i = 0; i < DRAWS; i++) {
            // Rounding is magnified by 1 / (1 - t).
            if (times[i] < 0.999) {
                noise[count] = (states[i] - times[i] * clean[i]) / (1 - times[i]);
                at[count] = times[i];
                of[count++] = clean[i];
            }
        }
        assertTrue(count > 0.99 * DRAWS);
        noise = Arrays.copyOf(noise, count);
        assertStandardNormal(noise, "(x_t - t x_1) / (1 - t)");
        assertUncorrelated(noise, Arrays.copyOf(at, count), "noise and time");
        assertUncorrelated(noise, Arrays.copyOf(of, count), "noise and data");
    }

    @Test
    void aShareOfLabelsIsDropped() {
        Context context = context(sampler(2, 0.1, 0.2));
        assertNull(context.guidance());
        Tensor kept = context.labels();
        assertNotNull(kept);
        long[] given = labels.toLongArray();
        long[] left = kept.toLongArray();
        int dropped = 0;
        for (int i = 0; i < DRAWS; i++) {
            if (left[i] == CLASSES) {
                dropped++;
            } else {
                assertEquals(given[i], left[i]);
            }
        }
        assertEquals(0.2, (double) dropped / DRAWS, SIGMAS * Math.sqrt(0.16 / DRAWS));
    }

    @Test
    void noneOrAllLabelsMayBeDropped() {
        Tensor none = context(sampler(2, 0.1, 0)).labels();
        Tensor all = context(sampler(2, 0.1, 1)).labels();
        assertNotNull(none);
        assertNotNull(all);
        assertArrayEquals(labels.toLongArray(), none.toLongArray());
        assertTrue(Arrays.stream(all.toLongArray()).allMatch(label -> label == CLASSES));
    }

    @Test
    void diagonalPairsHaveOneUniformTimeAndNoiseOfTheirOwn() {
        PairSampler sampler = sampler(1, 0.1, 0);
        Context context = context(sampler);
        Pair pair = sampler.diagonal(data, context);
        assertSame(data, pair.data());
        assertSame(context, pair.context());
        assertArrayEquals(pair.start().toDoubleArray(), pair.end().toDoubleArray());
        assertLaw(pair.start().toDoubleArray(), time -> time, "s");
        assertStandardNormal(pair.noise().toDoubleArray(), "noise");
        assertUncorrelated(pair.start().toDoubleArray(), context.time().toDoubleArray(), "s and t");
        Tensor contextNoise = context.state().sub(data.mul(context.time().unsqueeze(1)));
        assertUncorrelated(pair.noise().toDoubleArray(), contextNoise.toDoubleArray(), "the two noises");
        assertUncorrelated(pair.noise().toDoubleArray(), data.toDoubleArray(), "noise and data");
    }

    @Test
    void jumpsAreSortedUniformsWithAUniformSplit() {
        PairSampler sampler = sampler(1, 0.1, 0);
        Context context = context(sampler);
        Pair pair = sampler.jump(data, context);
        double[] starts = pair.start().toDoubleArray();
        double[] ends = pair.end().toDoubleArray();
        double[] shares = new double[DRAWS];
        for (int i = 0; i < DRAWS; i++) {
            assertTrue(starts[i] <= ends[i]);
            shares[i] = starts[i] / ends[i];
        }
        assertLaw(starts, time -> 1 - (1 - time) * (1 - time), "s");
        assertLaw(ends, time -> time * time, "u");
        // Given the later of two uniforms, the earlier is uniform below it.
        assertLaw(shares, share -> share, "s / u");
        Tensor fraction = pair.fraction();
        assertNotNull(fraction);
        assertLaw(fraction.toDoubleArray(), value -> value, "split");
        assertUncorrelated(fraction.toDoubleArray(), starts, "split and s");
        assertStandardNormal(pair.noise().toDoubleArray(), "noise");
        assertUncorrelated(pair.noise().toDoubleArray(), sampler.jump(data, context).noise().toDoubleArray(), "noises of two jumps");
    }
}
