package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;

final class MixtureDataTest {
    private static final List<double[]> MEANS =
            List.of(new double[] {-3, 1}, new double[] {0, 0}, new double[] {3, -2});
    private static final double VARIANCE = 0.5;
    private static final int DRAWS = 60_000;

    /** Allowed error of an estimate in deviations; exceeded by chance with almost no seed. */
    private static final double SIGMAS = 5;

    @Test
    void everyComponentHasItsMomentsAndItsShare() {
        try (MixtureData data = new MixtureData(MEANS, VARIANCE, 11, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            TrainingData.Batch batch = data.batch(0, DRAWS);
            float[] items = batch.items().toFloatArray();
            long[] labels = batch.labels().toLongArray();
            for (int component = 0; component < MEANS.size(); component++) {
                double[] mean = MEANS.get(component);
                int count = 0;
                double[] sum = new double[2];
                double[] squares = new double[2];
                double product = 0;
                for (int i = 0; i < DRAWS; i++) {
                    if (labels[i] == component) {
                        count++;
                        double first = items[2 * i] - mean[0];
                        double second = items[2 * i + 1] - mean[1];
                        sum[0] += first;
                        sum[1] += second;
                        squares[0] += first * first;
                        squares[1] += second * second;
                        product += first * second;
                    }
                }
                double error = SIGMAS / Math.sqrt(count);
                assertEquals(
                        1.0 / 3, (double) count / DRAWS, SIGMAS * Math.sqrt(2.0 / 9 / DRAWS), "share of " + component);
                for (int i = 0; i < 2; i++) {
                    assertEquals(0, sum[i] / count, Math.sqrt(VARIANCE) * error, "mean " + i + " of " + component);
                    assertEquals(
                            VARIANCE,
                            squares[i] / count,
                            Math.sqrt(2) * VARIANCE * error,
                            "variance " + i + " of " + component);
                }
                assertEquals(0, product / count, VARIANCE * error, "covariance of " + component);
            }
        }
    }

    @Test
    void aBatchFollowsFromSeedAndPosition() {
        try (MixtureData data = new MixtureData(MEANS, VARIANCE, 11, Device.CPU);
                MixtureData same = new MixtureData(MEANS, VARIANCE, 11, Device.CPU);
                MixtureData other = new MixtureData(MEANS, VARIANCE, 12, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            float[] later = data.batch(64, 8).items().toFloatArray();
            float[] first = data.batch(0, 8).items().toFloatArray();
            assertArrayEquals(first, data.batch(0, 8).items().toFloatArray());
            assertArrayEquals(later, same.batch(64, 8).items().toFloatArray());
            assertFalse(Arrays.equals(first, later));
            assertFalse(Arrays.equals(first, other.batch(0, 8).items().toFloatArray()));
        }
    }

    @Test
    void shapesAreThoseOfTheMeans() {
        long before = NativeMemory.liveTensors();
        try (MixtureData data = new MixtureData(List.of(new double[] {1, 2, 3}), 1, 1, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            assertEquals(Shape.of(3), data.itemShape());
            assertEquals(1, data.classes());
            assertEquals(Shape.of(5, 3), data.batch(0, 5).items().shape());
            assertArrayEquals(new long[5], data.batch(0, 5).labels().toLongArray());
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    @Test
    void badMixturesAreRefused() {
        Refusal.assertRefused(() -> new MixtureData(List.of(), 1, 1, Device.CPU), "at least one component");
        Refusal.assertRefused(() -> new MixtureData(MEANS, 0, 1, Device.CPU), "variance is 0");
        Refusal.assertRefused(() -> new MixtureData(MEANS, Double.NaN, 1, Device.CPU), "variance is NaN");
        Refusal.assertRefused(
                () -> new MixtureData(List.of(new double[2], new double[3]), 1, 1, Device.CPU),
                "mean 1 has 3",
                "the first has 2");
    }
}
