package org.metaflowmaps.steering.metric;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Distances of samples compared with values by hand, invariances and statistical properties. */
final class DistancesTest {
    private static Tensor group(double... values) {
        return Torch.of(values, 1, values.length, 1);
    }

    @Test
    void onALineItIsTheDistanceOfSortedNumbers() {
        try (TensorScope scope = TensorScope.open();
                SlicedWasserstein distance = new SlicedWasserstein(1, 10, 1, Device.CPU)) {
            // 0, 1, 3 against 1, 3, 5: squares 1, 4, 4.
            assertEquals(
                    Math.sqrt(3),
                    distance.distances(group(3, 0, 1), group(1, 5, 3)).item(),
                    1e-12);
            assertEquals(0, distance.distances(group(3, 0, 1), group(0, 1, 3)).item(), 1e-12);
            Tensor two = Torch.cat(0, group(0, 0), group(1, 2));
            assertArrayEquals(
                    new double[] {2, 0},
                    distance.distances(two, Torch.cat(0, group(2, 2), group(2, 1)))
                            .toDoubleArray(),
                    1e-12);
        }
    }

    /** A shift by c is |c·θ| along θ, with mean square |c|²/2 over the circle, for any samples. */
    @Test
    void aShiftIsItsLengthOverTheRootOfTheDimension() {
        long live = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2);
                SlicedWasserstein distance = new SlicedWasserstein(2, 4_000, 3, Device.CPU)) {
            Tensor points = random.normal(1, 50, 2);
            Tensor moved = points.add(Torch.of(new float[] {3, -4}));
            double expected = 5 / Math.sqrt(2);
            // cos² has the mean 1/2 and the variance 1/8.
            assertEquals(
                    expected, distance.distances(points, moved).item(), 5 * expected * 0.5 * Math.sqrt(0.5 / 4_000));
            double apart = distance.distances(points, random.normal(1, 50, 2)).item();
            Tensor shuffled = points.indexSelect(1, random.permutation(50));
            assertEquals(0, distance.distances(points, shuffled).item(), 1e-6);
            assertTrue(apart > 0.01);
            Tensor other = random.normal(1, 50, 2).mul(2);
            double once = distance.distances(points, other).item();
            assertEquals(once, distance.distances(other, points).item(), 1e-12);
            assertEquals(once, distance.distances(points.add(7), other.add(7)).item(), 1e-5);
            assertEquals(
                    3 * once, distance.distances(points.mul(3), other.mul(3)).item(), 1e-5);
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** For N(0, 1) against N(1, 4) W2² is 1² + (2-1)². */
    @Test
    void ofLargeSamplesItIsThatOfTheirLaws() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(4);
                SlicedWasserstein distance = new SlicedWasserstein(1, 1, 1, Device.CPU)) {
            double actual = distance.distances(
                            random.normal(1, 100_000, 1),
                            random.normal(1, 100_000, 1).mul(2).add(1))
                    .item();
            assertEquals(Math.sqrt(2), actual, 0.03);
        }
    }

    @Test
    void theDiscrepancyByHand() {
        try (TensorScope scope = TensorScope.open()) {
            // One kernel of width 2·1: k = exp(-d²/8). Within: d = 1 and d = 2; across: 3, 5, 2, 4.
            double within = Math.exp(-1.0 / 8) + Math.exp(-4.0 / 8);
            double across = (Math.exp(-9.0 / 8) + Math.exp(-25.0 / 8) + Math.exp(-4.0 / 8) + Math.exp(-16.0 / 8)) / 4;
            Tensor scale = Torch.of(new double[] {1});
            MaximumMeanDiscrepancy one = new MaximumMeanDiscrepancy(List.of(2.0));
            assertEquals(
                    within - 2 * across,
                    one.squared(group(0, 1), group(3, 5), scale).item(),
                    1e-12);
            double narrow = Math.exp(-1.0 / 2)
                    + Math.exp(-4.0 / 2)
                    - (Math.exp(-9.0 / 2) + Math.exp(-25.0 / 2) + Math.exp(-4.0 / 2) + Math.exp(-16.0 / 2)) / 2;
            MaximumMeanDiscrepancy both = new MaximumMeanDiscrepancy(List.of(1.0, 2.0));
            assertEquals(
                    (within - 2 * across + narrow) / 2,
                    both.squared(group(0, 1), group(3, 5), scale).item(),
                    1e-12);
            // Distances 1, 3, 7, 2, 6, 4 of four points: the lower of the two in the middle is 3.
            assertEquals(3, MaximumMeanDiscrepancy.scale(group(0, 1, 3, 7)).item(), 1e-12);
            assertEquals(2, MaximumMeanDiscrepancy.scale(group(0, 1, 3)).item(), 1e-12);
        }
    }

    /**
     * Over many pairs of samples the mean is 0 for one law, and for two laws the difference of means of kernels, by
     * formula.
     */
    @Test
    void theDiscrepancyIsUnbiased() {
        int groups = 4_000;
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(5)) {
            Tensor scale = Torch.onesLike(Torch.zeros(groups));
            MaximumMeanDiscrepancy kernel = new MaximumMeanDiscrepancy(List.of(1.0));
            Tensor same = kernel.squared(random.normal(groups, 5, 1), random.normal(groups, 5, 1), scale);
            assertMean(0, same);
            assertTrue(same.lt(0).any().item() == 1, "an unbiased estimate of 0 is sometimes negative");
            // For X - Y ~ N(m, v) the kernel of width 1 has the mean exp(-m²/(2(1+v))) / √(1+v).
            Tensor apart = kernel.squared(
                    random.normal(groups, 5, 1), random.normal(groups, 5, 1).add(1), scale);
            assertMean(2 / Math.sqrt(3) - 2 * Math.exp(-1.0 / 6) / Math.sqrt(3), apart);
        }
    }

    private static void assertMean(double expected, Tensor values) {
        double error = Math.sqrt(values.var(0).item() / values.numel());
        assertEquals(expected, values.mean().item(), 5 * error);
    }

    @Test
    void whatCannotBeComparedIsRefused() {
        try (TensorScope scope = TensorScope.open();
                SlicedWasserstein distance = new SlicedWasserstein(2, 3, 1, Device.CPU)) {
            assertSays(() -> distance.distances(Torch.zeros(1, 3, 2), Torch.zeros(1, 4, 2)), "of the same shape");
            assertSays(() -> distance.distances(Torch.zeros(3, 2), Torch.zeros(3, 2)), "(groups, n, d)");
            assertSays(
                    () -> distance.distances(Torch.zeros(1, 3, 1), Torch.zeros(1, 3, 1)),
                    "(groups, n, 2)");
            assertSays(
                    () -> new MaximumMeanDiscrepancy()
                            .squared(Torch.zeros(1, 1, 2), Torch.zeros(1, 1, 2), Torch.zeros(1)),
                    "at least 2");
            assertSays(() -> new MaximumMeanDiscrepancy(List.of()), "kernel widths");
            assertSays(() -> new SlicedWasserstein(2, 0, 1, Device.CPU), "0 directions");
        }
    }

    private static void assertSays(Runnable action, String part) {
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, action::run).getMessage());
        assertTrue(message.contains(part), message);
    }
}
