package org.metaflowmaps.training.optim;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The moving average, the warm-up and clipping. */
final class AveragingTest {
    private static ParameterArena arena() {
        return new ParameterArena(Map.of("p", Shape.of(3)), Device.CPU);
    }

    private static void set(ParameterArena arena, float... values) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            arena.get("p").copy_(Torch.of(values));
        }
    }

    private static float[] average(ParameterArena arena, MovingAverage average) {
        try (TensorScope scope = TensorScope.open()) {
            return arena.view("p", average.values()).toFloatArray();
        }
    }

    @Test
    void copiesUntilItsStartAndAveragesFromThere() {
        try (ParameterArena arena = arena()) {
            set(arena, 1, 2, 3);
            try (MovingAverage average = new MovingAverage(arena, 0.75, 2)) {
                assertArrayEquals(new float[] {1, 2, 3}, average(arena, average));
                set(arena, 5, 5, 5);
                average.update(0);
                assertArrayEquals(new float[] {5, 5, 5}, average(arena, average));
                set(arena, 9, 9, 9);
                average.update(1);
                assertArrayEquals(new float[] {9, 9, 9}, average(arena, average));
                set(arena, 1, 5, 9);
                average.update(2);
                assertArrayEquals(new float[] {7, 8, 9}, average(arena, average));
                average.update(3);
                assertArrayEquals(new float[] {5.5f, 7.25f, 9}, average(arena, average));
            }
        }
    }

    @Test
    void aBoundArenaHasTheAverages() {
        try (ParameterArena arena = arena();
                MovingAverage average = new MovingAverage(arena, 0.5, 0)) {
            set(arena, 4, 4, 4);
            average.update(0);
            set(arena, 8, 8, 8);
            try (ParameterArena averages = arena.over(average.values())) {
                assertArrayEquals(new float[] {2, 2, 2}, averages.get("p").toFloatArray());
                average.update(1);
                assertArrayEquals(new float[] {5, 5, 5}, averages.get("p").toFloatArray());
                average.restart();
                assertArrayEquals(new float[] {8, 8, 8}, averages.get("p").toFloatArray());
            }
            assertArrayEquals(new float[] {8, 8, 8}, average(arena, average));
        }
    }

    @Test
    void decayOutOfRangeIsRefused() {
        try (ParameterArena arena = arena()) {
            assertRefused(() -> new MovingAverage(arena, 1, 0), "decay is 1.0");
            assertRefused(() -> new MovingAverage(arena, -0.5, 0), "decay is -0.5");
        }
    }

    @Test
    void ratesRiseFromATenthInAStraightLine() {
        WarmUp warmUp = new WarmUp(2e-3, 100);
        assertEquals(2e-4, warmUp.at(0), 1e-12);
        assertEquals(1.1e-3, warmUp.at(50), 1e-12);
        assertEquals(2e-3, warmUp.at(100), 0);
        assertEquals(2e-3, warmUp.at(1_000_000), 0);
        double slope = warmUp.at(1) - warmUp.at(0);
        for (int step = 1; step < 100; step++) {
            assertEquals(slope, warmUp.at(step + 1) - warmUp.at(step), 1e-12);
        }
        assertEquals(2e-3, new WarmUp(2e-3, 0).at(0), 0);
        assertRefused(() -> new WarmUp(0, 1), "0.0");
        assertRefused(() -> new WarmUp(1, -1), "-1");
    }

    /** A map's gradient of length 3 and a weighting's of length 4 have one norm of 5 and shrink by one factor. */
    @Test
    void gradientsOfSeveralArenasShareOneNorm() {
        try (ParameterArena one = arena();
                ParameterArena other = arena();
                TensorScope scope = TensorScope.open()) {
            Tensor first = one.view("p", one.gradients());
            Tensor second = other.view("p", other.gradients());
            first.copy_(Torch.of(new float[] {3, 0, 0}));
            second.copy_(Torch.of(new float[] {0, -4, 0}));
            assertEquals(5, Clipping.clip(List.of(one, other), 2.5).item(), 1e-6);
            assertArrayEquals(new double[] {1.5, 0, 0}, first.toDoubleArray(), 1e-5);
            assertArrayEquals(new double[] {0, -2, 0}, second.toDoubleArray(), 1e-5);
        }
    }

    @Test
    void gradientsAreScaledToTheBoundAndNeverUp() {
        try (ParameterArena arena = arena();
                TensorScope scope = TensorScope.open()) {
            Tensor place = arena.view("p", arena.gradients());
            for (double largest : new double[] {0.5, 1, 4.9999, 6, Double.POSITIVE_INFINITY}) {
                place.copy_(Torch.of(new float[] {3, 0, -4}));
                assertEquals(5, Clipping.clip(arena, largest).item(), 1e-6);
                double factor = Math.min(1, largest / 5);
                assertArrayEquals(
                        new double[] {3 * factor, 0, -4 * factor}, place.toDoubleArray(), 1e-5, "bound " + largest);
            }
            place.zero_();
            assertEquals(0, Clipping.clip(arena, 1).item());
            assertArrayEquals(new float[3], place.toFloatArray());
            assertRefused(() -> Clipping.clip(arena, 0), "0.0", "more than 0");
        }
    }
}
