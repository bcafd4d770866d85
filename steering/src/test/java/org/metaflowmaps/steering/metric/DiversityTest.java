package org.metaflowmaps.steering.metric;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Diversity against all pairs, histograms against exact laws, and standard errors against repetitions. */
final class DiversityTest {
    private static final int REPETITIONS = 400;

    private final long live = NativeMemory.liveTensors();
    private final RandomSource random = RandomSource.seeded(5);
    private final TensorScope scope = TensorScope.open();

    @AfterEach
    void nothingIsLeftBehind() {
        scope.close();
        random.close();
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static Tensor labels(int count, int classes) {
        long[] labels = new long[count];
        Arrays.setAll(labels, i -> i % classes);
        return Torch.of(labels);
    }

    private static double pairs(double[] points, int width) {
        int n = points.length / width;
        double sum = 0;
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                for (int k = 0; k < width; k++) {
                    double difference = points[i * width + k] - points[j * width + k];
                    sum += difference * difference;
                }
            }
        }
        return sum / n / (n - 1);
    }

    @Test
    void itIsTheMeanOverAllPairsOfAClass() {
        int width = 3;
        for (int n : new int[] {2, 5, 31, 70}) {
            Tensor first = random.normal(n, width).to(DType.FLOAT64);
            Tensor second = random.normal(n, width).to(DType.FLOAT64).mul(4).add(1000);
            Diversity diversity = new Diversity(3, width);
            // In two batches of both classes, of different sizes.
            Tensor all = Torch.stack(1, first, second).reshape(2L * n, width);
            diversity.add(all.narrow(0, 0, n), labels(2 * n, 2).narrow(0, 0, n));
            diversity.add(all.narrow(0, n, n), labels(2 * n, 2).narrow(0, n, n));
            assertEquals(pairs(first.toDoubleArray(), width), diversity.of(0).value(), 1e-9);
            assertEquals(pairs(second.toDoubleArray(), width), diversity.of(1).value(), 1e-6);
            assertEquals(n, diversity.of(1).count());
            assertTrue(Double.isNaN(diversity.of(2).value()));
            Estimate mean = diversity.mean();
            assertEquals((diversity.of(0).value() + diversity.of(1).value()) / 2, mean.value(), 1e-9);
            assertEquals(2L * n, mean.count());
            assertEquals(n < 3, Double.isNaN(mean.standardError()));
        }
    }

    /** The spread of repetitions, and the root mean square of their standard errors, must agree. */
    private static void assertStandardErrors(Estimate[] estimates) {
        double[] values = Arrays.stream(estimates).mapToDouble(Estimate::value).toArray();
        double spread = Estimate.mean(values).standardError() * Math.sqrt(values.length);
        double claimed = Math.sqrt(Arrays.stream(estimates)
                .mapToDouble(estimate -> estimate.standardError() * estimate.standardError())
                .average()
                .orElseThrow());
        assertEquals(1, claimed / spread, 0.15);
    }

    @Test
    void itsStandardErrorIsTheSpreadOfRepetitions() {
        Estimate[] estimates = new Estimate[REPETITIONS];
        for (int i = 0; i < REPETITIONS; i++) {
            Diversity diversity = new Diversity(1, 4);
            diversity.add(random.normal(100, 4), labels(100, 1));
            estimates[i] = diversity.of(0);
        }
        assertStandardErrors(estimates);
    }

    @Test
    void aHistogramsDistanceAndItsStandardError() {
        ClassHistogram exact = new ClassHistogram(3);
        exact.add(Torch.of(new long[] {0, 0, 1, 2}));
        assertEquals(0, exact.distance(new double[] {2, 1, 1}).value(), 1e-12);
        assertEquals(
                Math.sqrt(0.09 + 0.0025 + 0.1225),
                exact.distance(new double[] {1, 1, 3}).value(),
                1e-12);
        assertEquals(0.5, exact.share(0).value(), 1e-12);
        assertEquals(0.25, exact.share(0).standardError(), 1e-12);

        double[] law = {1, 1, 1, 1};
        int n = 250;
        Estimate[] far = new Estimate[REPETITIONS];
        double squares = 0;
        double floor = 0;
        for (int i = 0; i < REPETITIONS; i++) {
            // Shares of 1/2, 1/4, 1/8, 1/8: far from the law; and of the law itself.
            ClassHistogram tilted = new ClassHistogram(4);
            ClassHistogram fair = new ClassHistogram(4);
            tilted.add(classes(random.uniform(n), 0.5, 0.75, 0.875));
            fair.add(classes(random.uniform(n), 0.25, 0.5, 0.75));
            far[i] = tilted.distance(law);
            squares += Math.pow(fair.distance(law).value(), 2);
            floor = fair.floor(law);
        }
        assertStandardErrors(far);
        assertEquals(1, Math.sqrt(squares / REPETITIONS) / floor, 0.1);
    }

    private static Tensor classes(Tensor uniform, double... bounds) {
        Tensor label = Torch.zeros(DType.INT64, uniform.device(), uniform.size(0));
        for (double bound : bounds) {
            label = label.add(uniform.ge(bound).to(DType.INT64));
        }
        return label;
    }

    @Test
    void momentsAreMergedAsIfAddedTogether() {
        Tensor points = random.normal(50, 4).add(100);
        FeatureMoments whole = new FeatureMoments(4);
        whole.add(points);
        FeatureMoments first = new FeatureMoments(4);
        first.add(points.narrow(0, 0, 13));
        FeatureMoments second = new FeatureMoments(4);
        second.add(points.narrow(0, 13, 37));
        first.add(second);
        first.add(new FeatureMoments(4));
        assertEquals(50, first.count());
        assertEquals(0, FrechetDistance.between(whole, first), 1e-6);
        assertThrows(IllegalArgumentException.class, () -> first.add(new FeatureMoments(3)));
        GaussianStatistics statistics = whole.statistics();
        assertEquals(0, FrechetDistance.between(statistics, first.statistics()), 1e-6);
        assertThrows(IllegalArgumentException.class, () -> new GaussianStatistics(new double[2], new double[3]));
    }

    @Test
    void wrongInputIsRefused() {
        Diversity diversity = new Diversity(2, 3);
        assertThrows(IllegalArgumentException.class, () -> diversity.add(Torch.zeros(2, 4), labels(2, 1)));
        assertThrows(IllegalArgumentException.class, () -> diversity.add(Torch.zeros(2, 3), labels(3, 1)));
        assertThrows(
                IllegalArgumentException.class, () -> diversity.add(Torch.zeros(2, 3), Torch.of(new long[] {0, 2})));
        Tensor infinite = Torch.zeros(2, 3).log();
        assertThrows(IllegalArgumentException.class, () -> diversity.add(infinite, labels(2, 1)));
        assertEquals(0, diversity.count(0));
        assertThrows(IllegalArgumentException.class, () -> new Diversity(1 << 20, 1 << 20));
        ClassHistogram histogram = new ClassHistogram(2);
        assertThrows(IllegalArgumentException.class, () -> histogram.add(Torch.of(new long[] {-1})));
        assertThrows(IllegalStateException.class, () -> histogram.distance(new double[] {1, 1}));
        histogram.add(Torch.of(new long[] {1}));
        assertThrows(IllegalArgumentException.class, () -> histogram.distance(new double[] {1, 1, 1}));
        assertThrows(IllegalArgumentException.class, () -> histogram.distance(new double[] {0, 0}));
    }
}
