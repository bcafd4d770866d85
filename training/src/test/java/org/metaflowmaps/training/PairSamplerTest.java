package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Objects;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.config.TimesConfig;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.Pair;

/** The laws of the losses' inputs, checked by the empirical distributions of many draws. */
final class PairSamplerTest {
    private static final int DRAWS = 50_000;
    private static final int CLASSES = 3;

    /** Kolmogorov's statistic exceeds this, divided by the root of the number of draws, with probability 1/10,000. */
    private static final double KOLMOGOROV = 2.23;

    /** Allowed error of an average in standard deviations. */
    private static final double SIGMAS = 4.5;

    private static final TimesConfig.Law UNIFORM = TimesConfig.Law.builder().build();

    private final RandomSource random = RandomSource.seeded(23);
    private final MetaFlowMap map = MlpFlowMap.zeros(SmallNetworks.mlpConfig(1, 4, 0, CLASSES), Device.CPU);
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
        map.close();
    }

    private TrainingData.Batch batch() {
        return new TrainingData.Batch(data, labels);
    }

    private PairSampler sampler(double power, double atom, double drop) {
        return sampler(power, atom, drop, 1, UNIFORM, 0);
    }

    private PairSampler sampler(
            double power, double atom, double drop, double guidance, TimesConfig.Law law, long warmUp) {
        TimesConfig.Law diagonal = law.kind() == TimesConfig.LawKind.DYADIC ? UNIFORM : law;
        return new PairSampler(new TimesConfig(power, atom, warmUp, diagonal, law, warmUp), drop, guidance, random);
    }

    private Context context(PairSampler sampler) {
        return context(sampler, 0);
    }

    private Context context(PairSampler sampler, long step) {
        return sampler.context(batch(), map, step);
    }

    private static void assertLaw(double[] values, DoubleUnaryOperator distribution, String what) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        double farthest = 0;
        for (int i = 0; i < sorted.length; i++) {
            double expected = distribution.applyAsDouble(sorted[i]);
            farthest = Math.max(
                    farthest, Math.max(expected - (double) i / sorted.length, (i + 1.0) / sorted.length - expected));
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
        double variance = Arrays.stream(values)
                .map(value -> (value - mean) * (value - mean))
                .average()
                .orElseThrow();
        return Arrays.stream(values)
                .map(value -> (value - mean) / Math.sqrt(variance))
                .toArray();
    }

    /** The standard normal distribution, by another library's error function. */
    private static void assertStandardNormal(double[] values, String what) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        double[] expected;
        try (TensorScope inner = TensorScope.open()) {
            expected = Torch.of(sorted, sorted.length)
                    .div(Math.sqrt(2))
                    .erf()
                    .add(1)
                    .div(2)
                    .toDoubleArray();
        }
        double farthest = 0;
        for (int i = 0; i < sorted.length; i++) {
            farthest = Math.max(
                    farthest,
                    Math.max(expected[i] - (double) i / sorted.length, (i + 1.0) / sorted.length - expected[i]));
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
        assertTrue(context.condition().guidance().isEmpty());
        Tensor kept = context.condition().labels().orElseThrow();
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
        Tensor none = context(sampler(2, 0.1, 0)).condition().labels().orElseThrow();
        Tensor all = context(sampler(2, 0.1, 1)).condition().labels().orElseThrow();
        assertNotNull(none);
        assertNotNull(all);
        assertArrayEquals(labels.toLongArray(), none.toLongArray());
        assertTrue(Arrays.stream(all.toLongArray()).allMatch(label -> label == CLASSES));
    }

    @Test
    void diagonalPairsHaveOneUniformTimeAndNoiseOfTheirOwn() {
        PairSampler sampler = sampler(1, 0.1, 0);
        Context context = context(sampler);
        Pair pair = sampler.diagonal(batch(), context);
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
        Pair pair = sampler.jump(batch(), context, 0);
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
        assertUncorrelated(
                pair.noise().toDoubleArray(),
                sampler.jump(batch(), context, 0).noise().toDoubleArray(),
                "noises of two jumps");
    }

    @Test
    void labelledItemsHaveTheGuidanceScaleAndTheOthersNone() {
        Context context = context(sampler(2, 0.1, 0.2, 2.5, UNIFORM, 0));
        Tensor kept = context.condition().labels().orElseThrow();
        Tensor scales = context.condition().guidance().orElseThrow();
        assertNotNull(kept);
        assertNotNull(scales);
        long[] labels = kept.toLongArray();
        double[] guidance = scales.toDoubleArray();
        for (int i = 0; i < DRAWS; i++) {
            assertEquals(labels[i] == CLASSES ? 1 : 2.5, guidance[i], 1e-6);
        }
    }

    @Test
    void logitNormalPairsAreSortedDrawsOfTwoLaws() {
        PairSampler sampler = sampler(
                1,
                0,
                0,
                1,
                TimesConfig.Law.builder()
                        .kind(TimesConfig.LawKind.LOGIT_NORMAL)
                        .mean(-0.4)
                        .secondMean(1.2)
                        .std(0.5)
                        .build(),
                0);
        Context context = context(sampler);
        double[] logits = Arrays.stream(
                        sampler.diagonal(batch(), context).start().toDoubleArray())
                .map(time -> (Math.log(time / (1 - time)) + 0.4) / 0.5)
                .toArray();
        assertStandardNormal(logits, "logit of s on the diagonal");
        Pair pair = sampler.jump(batch(), context, 0);
        double[] starts = pair.start().toDoubleArray();
        double[] ends = pair.end().toDoubleArray();
        double sum = 0;
        for (int i = 0; i < DRAWS; i++) {
            assertTrue(starts[i] <= ends[i]);
            sum += Math.log(starts[i] / (1 - starts[i])) + Math.log(ends[i] / (1 - ends[i]));
        }
        // Sorting does not change the sum of the two logits.
        assertEquals(-0.4 + 1.2, sum / DRAWS, SIGMAS * 0.5 * Math.sqrt(2.0 / DRAWS));
    }

    @Test
    void dyadicPairsLieOnTheGridOfTheirLength() {
        PairSampler sampler = sampler(
                1,
                0,
                0,
                1,
                TimesConfig.Law.builder()
                        .kind(TimesConfig.LawKind.DYADIC)
                        .levels(3)
                        .build(),
                0);
        Pair pair = sampler.jump(batch(), context(sampler), 0);
        double[] starts = pair.start().toDoubleArray();
        double[] ends = pair.end().toDoubleArray();
        int[] counts = new int[4];
        for (int i = 0; i < DRAWS; i++) {
            double length = ends[i] - starts[i];
            int level = (int) Math.round(Math.log(length * 8) / Math.log(2));
            assertTrue(level >= 1 && level <= 3, "length " + length);
            assertEquals(Math.pow(2, level) / 8, length, 1e-6);
            assertEquals(Math.rint(starts[i] / length), starts[i] / length, 1e-5);
            assertTrue(ends[i] <= 1);
            counts[level]++;
        }
        for (int level = 1; level <= 3; level++) {
            assertEquals(
                    1 / 3.0, (double) counts[level] / DRAWS, SIGMAS * Math.sqrt(2 / 9.0 / DRAWS), "level " + level);
        }
    }

    @Test
    void curriculaGrowContextsFromNoiseAndJumpsFromTheirMidpoint() {
        PairSampler sampler = sampler(1, 0, 0, 1, UNIFORM, 100);
        assertArrayEquals(new double[DRAWS], context(sampler, 0).time().toDoubleArray());
        assertLaw(context(sampler, 25).time().toDoubleArray(), time -> Math.min(1, 4 * time), "t after a quarter");
        Context context = context(sampler, 100);
        assertLaw(context.time().toDoubleArray(), time -> time, "t after all");
        Pair none = sampler.jump(batch(), context, 0);
        assertArrayEquals(none.start().toDoubleArray(), none.end().toDoubleArray(), 1e-6);
        Tensor half = sampler.jump(batch(), context, 50).length();
        // The length of a sorted pair of uniforms has the distribution 1 - (1 - x)².
        assertLaw(half.toDoubleArray(), length -> 1 - Math.pow(1 - Math.min(1, 2 * length), 2), "half of a jump");
    }

    @Test
    void aMapWithoutContextsGetsNone() {
        try (MetaFlowMap flow =
                MlpFlowMap.zeros(SmallNetworks.mlpConfig(1, 4, 0, CLASSES).withoutContext(), Device.CPU)) {
            Context context = sampler(1, 0, 0).context(batch(), flow, 0);
            assertArrayEquals(new double[DRAWS], context.time().toDoubleArray());
            assertArrayEquals(new double[DRAWS], context.state().toDoubleArray());
        }
    }

    @Test
    void noContextIsAllButTheData() {
        Tensor times = context(sampler(1e-4, 0, 0)).time(); // U^0.0001 is above 0.999 almost always
        assertEquals(0.999, times.max().item(), 1e-6);
        assertTrue(times.toDoubleArray()[0] > 0.99);
    }

    @Test
    void weightsStayWithTheirItems() {
        TrainingData.Batch weighted =
                new TrainingData.Batch(data, labels, data.mul(data).reshape(DRAWS));
        PairSampler sampler = sampler(2, 0, 0);
        Context context = sampler.context(weighted, map, 0);
        assertSame(weighted.weights(), sampler.diagonal(weighted, context).weights());
        Pair first = sampler.jump(weighted.first(7), context.first(7), 0);
        assertArrayEquals(
                first.data().square().reshape(7).toFloatArray(),
                Objects.requireNonNull(first.weights()).toFloatArray());
        assertNull(sampler.diagonal(batch(), context).weights());
        Refusal.assertRefused(
                () -> new TrainingData.Batch(data, labels, data), "weights are", "50000, 1", "for each of the items");
        Refusal.assertRefused(() -> new TrainingData.Batch(data, labels, labels), "weights are");
        Refusal.assertRefused(
                () -> new TrainingData.Batch(data, labels.narrow(0, 0, 7)), "labels are", "int64 for each");
    }
}
