package org.metaflowmaps.models.sampler;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import org.junit.jupiter.api.Test;

final class TimeGridTest {
    @Test
    void uniformStepsHaveOneLength() {
        for (int steps : new int[] {1, 3, 7, 49}) {
            TimeGrid grid = TimeGrid.uniform(steps);
            assertEquals(steps, grid.steps());
            assertEquals(0, grid.time(0));
            assertEquals(1, grid.time(steps));
            for (int i = 0; i < steps; i++) {
                assertEquals((double) i / steps, grid.time(i));
                assertEquals(1.0 / steps, grid.length(i), "to the last digit");
            }
        }
    }

    @Test
    void givenTimesAreKept() {
        double[] times = {0, 0.1, 0.5, 1};
        TimeGrid grid = TimeGrid.of(times);
        times[1] = 0.9;
        assertEquals(3, grid.steps());
        assertEquals(0.1, grid.time(1));
        assertEquals(0.4, grid.length(1), 1e-15);
        assertEquals(TimeGrid.of(0, 0.25, 0.5, 0.75, 1), TimeGrid.uniform(4));
        assertEquals(
                TimeGrid.of(0, 0.25, 0.5, 0.75, 1).hashCode(),
                TimeGrid.uniform(4).hashCode());
        assertNotEquals(TimeGrid.uniform(4), TimeGrid.uniform(2));
    }

    @Test
    void timesThatAreNoGridAreRefused() {
        assertRefused(IllegalArgumentException.class, () -> TimeGrid.uniform(0), "0 steps, expected at least 1");
        assertRefused(
                IllegalArgumentException.class,
                () -> TimeGrid.uniform(Integer.MAX_VALUE),
                "2147483647 steps, expected at most 1000000");
        for (double[] wrong : new double[][] {{}, {0}, {1}, {0.1, 1}, {0, 0.9}, {Double.NaN, 1}}) {
            assertRefused(
                    IllegalArgumentException.class, () -> TimeGrid.of(wrong), "expected times from 0 to 1, with both");
        }
        for (double[] wrong : new double[][] {{0, 0.5, 0.5, 1}, {0, 0.7, 0.5, 1}, {0, Double.NaN, 1}, {0, 2, 1}}) {
            assertRefused(IllegalArgumentException.class, () -> TimeGrid.of(wrong), "expected rising times");
        }
        assertThrows(IndexOutOfBoundsException.class, () -> TimeGrid.uniform(2).time(3));
        assertThrows(IndexOutOfBoundsException.class, () -> TimeGrid.uniform(2).length(2));
    }
}
