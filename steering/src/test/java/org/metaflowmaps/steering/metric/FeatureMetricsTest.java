package org.metaflowmaps.steering.metric;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * FID's companions against their definitions and exact values; {@code mfm selfcheck} compares them with public
 * evaluators.
 */
final class FeatureMetricsTest {
    private final long live = NativeMemory.liveTensors();
    private final RandomSource random = RandomSource.seeded(5);
    private final TensorScope scope = TensorScope.open();

    @AfterEach
    void nothingIsLeftBehind() {
        scope.close();
        random.close();
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static void refused(String part, Executable call) {
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, call).getMessage());
        assertTrue(message.contains(part), message);
    }

    private static double[][] rows(Tensor points) {
        double[] all = points.to(DType.FLOAT64).toDoubleArray();
        int width = (int) points.size(1);
        double[][] rows = new double[all.length / width][];
        Arrays.setAll(rows, i -> Arrays.copyOfRange(all, i * width, (i + 1) * width));
        return rows;
    }

    private static double squared(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += (a[i] - b[i]) * (a[i] - b[i]);
        }
        return sum;
    }

    // ---- Inception score ----

    @Test
    void certainAndEvenClassesGiveTheirNumberAndOneClassGivesOne() {
        InceptionScore score = new InceptionScore(6);
        // Two certain images of each of three classes; logits so large that probabilities of other classes are 0.
        score.add(Torch.of(new float[] {0, 1, 2, 2, 1, 0, 0, 1, 2, 0, 1, 2}, 12, 1)
                .eq(Torch.arange(3))
                .to(DType.FLOAT32)
                .mul(2000));
        assertEquals(3, score.mean().value(), 1e-12);
        assertEquals(0, score.deviation(), 1e-12);
        assertEquals(0, score.rest());
        InceptionScore same = new InceptionScore(4);
        same.add(random.normal(1, 7).expand(9, 7));
        assertEquals(1, same.mean().value(), 1e-12);
        assertEquals(1, same.rest());
    }

    @Test
    void groupsAreConsecutiveAndDoNotDependOnBatches() {
        Tensor logits = random.normal(23, 5).mul(3);
        InceptionScore whole = new InceptionScore(10);
        whole.add(logits);
        InceptionScore parts = new InceptionScore(10);
        for (long[] range : new long[][] {{0, 1}, {1, 0}, {1, 13}, {14, 9}}) {
            parts.add(logits.narrow(0, range[0], range[1]));
        }
        assertEquals(whole.mean().value(), parts.mean().value(), 1e-12);
        assertEquals(whole.deviation(), parts.deviation(), 1e-12);
        assertEquals(23, parts.count());
        double[] values = new double[3];
        for (int group = 0; group < 3; group++) {
            double[][] p = rows(logits.narrow(0, 10L * group, group < 2 ? 10 : 3)
                    .to(DType.FLOAT64)
                    .softmax(1));
            double divergence = 0;
            for (int j = 0; j < 5; j++) {
                int column = j;
                double mean = Arrays.stream(p)
                        .mapToDouble(row -> row[column])
                        .average()
                        .orElseThrow();
                divergence += Arrays.stream(p)
                                .mapToDouble(row -> row[column] * Math.log(row[column] / mean))
                                .sum()
                        / p.length;
            }
            values[group] = Math.exp(divergence);
        }
        assertEquals(Arrays.stream(values).average().orElseThrow(), whole.mean().value(), 1e-12);
        assertEquals(Estimate.mean(values).standardError(), whole.mean().standardError(), 1e-12);
        assertEquals(whole.mean().standardError() * Math.sqrt(2), whole.deviation(), 1e-12);
        // Adding a number to all logits of an image changes nothing.
        InceptionScore moved = new InceptionScore(10);
        moved.add(logits.add(random.normal(23, 1)));
        assertEquals(whole.mean().value(), moved.mean().value(), 1e-5);
    }

    @Test
    void logitsThatHaveNoScoreAreRefused() {
        InceptionScore score = new InceptionScore(2);
        assertThrows(IllegalStateException.class, score::mean);
        assertThrows(IllegalStateException.class, score::deviation);
        score.add(Torch.zeros(1, 3));
        refused("(B, 3)", () -> score.add(Torch.zeros(1, 4)));
        refused("(B, 3)", () -> score.add(Torch.zeros(3)));
        refused("floating point", () -> score.add(Torch.zeros(DType.INT64, Device.CPU, 1, 3)));
        refused("not finite", () -> score.add(Torch.zeros(1, 3).log()));
        refused("at least 2", () -> new InceptionScore(1));
        assertEquals(1, score.count(), "refused batches change nothing");
    }

    // ---- KID ----

    private static double kernel(double[] a, double[] b) {
        double product = 0;
        for (int i = 0; i < a.length; i++) {
            product += a[i] * b[i];
        }
        return Math.pow(product / a.length + 1, 3);
    }

    @Test
    void kidOfWholeSetsIsItsDefinition() {
        Tensor x = random.normal(9, 4);
        Tensor y = random.normal(9, 4).mul(1.5).add(0.5);
        double[][] a = rows(x);
        double[][] b = rows(y);
        double expected = 0;
        for (int i = 0; i < 9; i++) {
            for (int j = 0; j < 9; j++) {
                expected += (i == j ? 0 : (kernel(a[i], a[j]) + kernel(b[i], b[j])) / 72) - 2 * kernel(a[i], b[j]) / 81;
            }
        }
        KernelDistance.Result found = new KernelDistance(7, 100, 1).between(x, y, Device.CPU);
        assertEquals(expected, found.mean(), 1e-12);
        assertEquals(new KernelDistance.Result(found.mean(), 0, 1, 9), found, "one subset is enough");
        // Order within the sets does not matter.
        assertEquals(
                found.mean(),
                new KernelDistance(1, 9, 1).between(x.flip(0), y, Device.CPU).mean(),
                1e-12);
    }

    /** Of the same law it is 0 on average, even for few images; another law is far from 0. */
    @Test
    void kidHasNoBias() {
        Tensor first = random.normal(2000, 3);
        Tensor second = random.normal(2000, 3);
        KernelDistance small = new KernelDistance(400, 10, 2);
        KernelDistance.Result same = small.between(first, second, Device.CPU);
        assertEquals(0, same.mean(), 5 * same.deviation() / Math.sqrt(400) + 0.02);
        assertEquals(400, same.subsets());
        KernelDistance.Result apart = small.between(first, second.add(1), Device.CPU);
        assertEquals(
                new KernelDistance(10, 1000, 3)
                        .between(first, second.add(1), Device.CPU)
                        .mean(),
                apart.mean(),
                5 * apart.deviation() / Math.sqrt(400));
        assertTrue(apart.mean() > 1);
        assertEquals(same, small.between(first, second, Device.CPU), "the seed fixes the subsets");
        refused("not finite", () -> small.between(first.log(), second, Device.CPU));
        refused("at least 2", () -> small.between(first.narrow(0, 0, 1), second, Device.CPU));
        refused("shapes", () -> small.between(first, random.normal(5, 2), Device.CPU));
        refused("at least 1 subset", () -> new KernelDistance(0, 10, 1));
    }

    // ---- precision and recall ----

    private static double inside(double[][] points, double[][] manifold, int k) {
        double found = 0;
        for (double[] point : points) {
            boolean any = false;
            for (int i = 0; i < manifold.length; i++) {
                int own = i;
                double[] distances = IntStream.range(0, manifold.length)
                        .filter(j -> j != own)
                        .mapToDouble(j -> squared(manifold[own], manifold[j]))
                        .sorted()
                        .toArray();
                any |= squared(point, manifold[i]) <= distances[k - 1];
            }
            found += any ? 1 : 0;
        }
        return found / points.length;
    }

    @Test
    void precisionAndRecallAreTheirDefinition() {
        Tensor samples = random.normal(70, 3).mul(0.8);
        Tensor reference = random.normal(50, 3).add(Torch.of(new float[] {1, 0, 0}));
        for (int k : new int[] {1, 3}) {
            PrecisionRecall found = PrecisionRecall.of(samples, reference, k, Device.CPU);
            double precision = inside(rows(samples), rows(reference), k);
            assertEquals(precision, found.precision().value(), 1e-12);
            assertEquals(
                    inside(rows(reference), rows(samples), k), found.recall().value(), 1e-12);
            assertTrue(precision > 0.1 && precision < 0.95, "the case tells something");
            assertEquals(70, found.precision().count());
            assertEquals(50, found.recall().count());
            PrecisionRecall swapped = PrecisionRecall.of(reference, samples, k, Device.CPU);
            assertEquals(found.precision(), swapped.recall());
            assertEquals(found.recall(), swapped.precision());
        }
    }

    @Test
    void blocksDoNotChangeTheResult() {
        Tensor many = random.normal(90, 2);
        Tensor some = random.normal(31, 2).mul(2);
        PrecisionRecall whole = PrecisionRecall.of(some, many, 2, Device.CPU);
        for (long[] size : new long[][] {{1, 1}, {7, 200}, {200, 8}, {31, 30}}) {
            assertEquals(whole, PrecisionRecall.of(some, many, 2, new DistanceBlocks(Device.CPU, size[0], size[1])));
        }
        long[] order = new long[90];
        Arrays.setAll(order, i -> (i * 7L + 5) % 90);
        assertEquals(whole, PrecisionRecall.of(some.flip(0), many.indexSelect(0, Torch.of(order)), 2, Device.CPU));
        assertTrue(whole.precision().value() < 1 && whole.precision().value() > 0.3);
        assertTrue(whole.recall().value() > 0.3);
    }

    @Test
    void equalSetsCoverEachOtherAndFarOnesDoNot() {
        Tensor points = random.normal(40, 6);
        PrecisionRecall same = PrecisionRecall.of(points, points, 3, Device.CPU);
        assertEquals(new Estimate(1, 0, 40), same.precision());
        assertEquals(new Estimate(1, 0, 40), same.recall());
        PrecisionRecall apart = PrecisionRecall.of(points.add(100), points, 3, Device.CPU);
        assertEquals(0, apart.precision().value());
        assertEquals(0, apart.recall().value());
        refused("at least 4", () -> PrecisionRecall.of(points.narrow(0, 0, 3), points, 3, Device.CPU));
        refused("k is 0", () -> PrecisionRecall.of(points, points, 0, Device.CPU));
        refused("not finite", () -> PrecisionRecall.of(points.log(), points, 3, Device.CPU));
        refused(
                "floating point",
                () -> PrecisionRecall.of(Torch.zeros(DType.INT64, Device.CPU, 9, 6), points, 3, Device.CPU));
    }

    // ---- statistics ----

    @Test
    void statisticsMustBeNumbers() {
        refused("not finite", () -> new GaussianStatistics(new double[] {Double.NaN}, new double[] {1}));
        refused("not finite", () -> new GaussianStatistics(new double[] {0}, new double[] {Double.NaN}));
    }

    /** A shift of every feature adds width times its square; two distances share one reference. */
    @Test
    void distancesToOneReference() {
        FeatureMoments moments = new FeatureMoments(8);
        moments.add(random.normal(60, 8));
        GaussianStatistics own = moments.statistics();
        FrechetDistance distance = new FrechetDistance(own);
        assertEquals(0, distance.to(own), 1e-9);
        double[] moved = own.mean();
        for (int i = 0; i < moved.length; i++) {
            moved[i] += 0.5;
        }
        assertEquals(8 * 0.25, distance.to(new GaussianStatistics(moved, own.covariance())), 1e-9);
    }
}
