package org.metaflowmaps.steering.finetune;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Two classes; label 2 means none. */
final class ShiftTableTest {
    private static final long WINDOW = 1_000_000_000_000L;

    private static Tensor strength(double lambda) {
        return Torch.full(lambda, DType.FLOAT64, Device.CPU, 1);
    }

    private static double[] at(ShiftTable table, double lambda) {
        try (TensorScope scope = TensorScope.open()) {
            return table.at(Torch.of(new long[] {0, 1, 2}), 3, strength(lambda)).toDoubleArray();
        }
    }

    private static void note(ShiftTable table, long[] labels, double... scores) {
        try (TensorScope scope = TensorScope.open()) {
            table.note(Torch.of(labels), Torch.of(scores), strength(2));
        }
    }

    private static double logMean(double... scores) {
        double sum = 0;
        for (double score : scores) {
            sum += Math.exp(score);
        }
        return Math.log(sum / scores.length);
    }

    /** An item's own reward does not affect the shift of its step. */
    @Test
    void whatIsNotedCountsFromTheNextStepOn() {
        try (ShiftTable table = new ShiftTable(2, WINDOW, Device.CPU)) {
            note(table, new long[] {0, 1}, 5, 6);
            assertArrayEquals(new double[3], at(table, 2));
            table.commit();
            assertArrayEquals(new double[] {5, 6, logMean(5, 6)}, at(table, 2), 1e-12);
            note(table, new long[] {0}, 50);
            table.forgetNoted();
            table.commit();
            assertArrayEquals(new double[] {5, 6, logMean(5, 6)}, at(table, 2), 1e-12);
        }
    }

    @Test
    void shiftsAreLogMeansOfTheirClass() {
        try (ShiftTable table = new ShiftTable(2, WINDOW, Device.CPU)) {
            note(table, new long[] {0, 0, 2}, 1, 2, -3);
            note(table, new long[] {0}, 700);
            table.commit();
            note(table, new long[] {0, 2}, 699, 4);
            table.commit();
            double[] found = at(table, 2);
            assertEquals(Math.log((1 + Math.exp(-1)) / 4) + 700, found[0], 1e-9);
            assertEquals(Math.log((1 + Math.exp(-1)) / 6) + 700, found[1], 1e-9, "unseen: of all items");
            assertEquals(logMean(-3, 4), found[2], 1e-12);
        }
    }

    /** After one window of items, the weight of earlier items is 1/e. */
    @Test
    void olderItemsAreForgotten() {
        try (ShiftTable table = new ShiftTable(2, 2, Device.CPU)) {
            note(table, new long[] {0}, 0);
            table.commit();
            note(table, new long[] {0, 0}, 1, 1);
            table.commit();
            double kept = Math.exp(-1);
            assertEquals(Math.log((kept + 2 * Math.E) / (kept + 2)), at(table, 2)[0], 1e-12);
        }
    }

    /** k is proportional to λ: values from λ = 2 are halved for λ = 1. */
    @Test
    void anotherStrengthScalesTheShifts() {
        try (ShiftTable table = new ShiftTable(2, WINDOW, Device.CPU)) {
            note(table, new long[] {0, 1}, 4, 8);
            table.commit();
            assertArrayEquals(new double[] {2, 4, logMean(4, 8) / 2}, at(table, 1), 1e-12);
        }
    }

    @Test
    void impossibleAndBrokenScoresLeaveFiniteShifts() {
        try (ShiftTable table = new ShiftTable(2, WINDOW, Device.CPU)) {
            note(
                    table,
                    new long[] {0, 0, 0, 1, 0},
                    1,
                    Double.NaN,
                    Double.POSITIVE_INFINITY,
                    Double.NEGATIVE_INFINITY,
                    Double.NEGATIVE_INFINITY);
            table.commit();
            double all = Math.log(Math.E / 3);
            assertArrayEquals(new double[] {Math.log(Math.E / 2), all, all}, at(table, 2), 1e-12);
        }
    }
}
