package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Effective sizes and resampling of weights. */
final class WeightsTest {
    private static final double NONE = Double.NEGATIVE_INFINITY;
    private static final double[] UNIFORMS = {0, 0.3, Math.nextDown(1.0)};

    /** A particle of share w has ⌊wM⌋ or ⌈wM⌉ descendants, in order. */
    @Test
    void systematicResamplingRoundsEachShare() {
        RandomGenerator random = new java.util.Random(4);
        int count = 50;
        double[] weights = new double[UNIFORMS.length * count];
        for (int i = 0; i < weights.length; i++) {
            weights[i] = 2 * random.nextGaussian();
        }
        try (TensorScope scope = TensorScope.open()) {
            Tensor logs = Torch.of(weights, UNIFORMS.length, count);
            double[] shares = Weights.normalised(logs).exp().toDoubleArray();
            Tensor chosen = Weights.systematic(logs, Torch.of(UNIFORMS));
            assertEquals(DType.INT64, chosen.dtype());
            long[] ancestors = chosen.toLongArray();
            for (int item = 0; item < UNIFORMS.length; item++) {
                double[] descendants = new double[count];
                for (int i = 0; i < count; i++) {
                    int own = (int) ancestors[item * count + i];
                    descendants[own]++;
                    assertTrue(i == 0 || own >= ancestors[item * count + i - 1]);
                }
                for (int i = 0; i < count; i++) {
                    assertEquals(shares[item * count + i] * count, descendants[i], 1, "item " + item);
                }
            }
        }
    }

    /** Neither the first nor the last number of [0, 1) reaches a particle without weight. */
    @Test
    void weightZeroIsNeverChosen() {
        double[] row = {NONE, -3, NONE, 800, 800 - Math.log(2), NONE, NONE};
        try (TensorScope scope = TensorScope.open()) {
            for (double uniform : UNIFORMS) {
                Tensor logs = Torch.of(row, 1, row.length);
                for (long chosen : Weights.systematic(logs, Torch.of(new double[] {uniform}))
                        .toLongArray()) {
                    assertTrue(row[(int) chosen] > 0, "u = " + uniform + ": " + chosen);
                }
                long one = Weights.one(logs, Torch.of(new double[] {uniform})).toLongArray()[0];
                assertEquals(uniform < 0.5 ? 3 : 4, one);
            }
        }
    }

    @Test
    void effectiveSizes() {
        double[] rows = {0, 0, 0, 0, 7e4, NONE, NONE, NONE, NONE, NONE, NONE, NONE, -1e5, -1e5, NONE, NONE};
        try (TensorScope scope = TensorScope.open()) {
            Tensor logs = Torch.of(rows, 4, 4);
            assertArrayEquals(
                    new double[] {4, 1, 0, 2}, Weights.effectiveSize(logs).toDoubleArray(), 1e-9);
            assertArrayEquals(
                    new double[] {0.25, 0.25, 0.25, 0.25},
                    Weights.normalised(logs).exp().select(0, 2).toDoubleArray(),
                    1e-12);
        }
    }

    @Test
    void distinctNumbers() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor numbers = Torch.of(new long[] {3, 0, 3, 1, 2, 2, 2, 2}, 2, 4);
            assertArrayEquals(new long[] {3, 1}, Weights.distinct(numbers).toLongArray());
            assertArrayEquals(
                    new long[] {1, 1}, Weights.distinct(numbers.narrow(1, 0, 1)).toLongArray());
        }
    }
}
