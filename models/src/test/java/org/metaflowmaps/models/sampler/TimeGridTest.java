package org.metaflowmaps.models.sampler;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;

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
    void thinnedGridsKeepBothEnds() {
        TimeGrid grid = TimeGrid.linspace(0.2, 8);
        assertEquals(grid, grid.thinned(8));
        assertEquals(TimeGrid.of(0, 0.25, 0.5, 0.75, 1), TimeGrid.uniform(8).thinned(4));
        for (int steps = 1; steps < 8; steps++) {
            TimeGrid fewer = grid.thinned(steps);
            assertEquals(steps, fewer.steps());
            assertEquals(0.2, fewer.time(0));
            assertEquals(1, fewer.time(steps));
            for (int i = 0; i < steps; i++) {
                assertEquals(0.8 / steps, fewer.length(i), 0.1, "nearly even");
            }
        }
        assertRefused(IllegalArgumentException.class, () -> grid.thinned(9), "9", "1 to 8");
        assertRefused(IllegalArgumentException.class, () -> grid.thinned(0), "0");
    }

    @Test
    void gridsMayBeginLater() {
        TimeGrid grid = TimeGrid.linspace(0.01, 5);
        assertEquals(5, grid.steps());
        double whole = 0;
        for (int i = 0; i < 5; i++) {
            assertEquals(0.01 + 0.198 * i, grid.time(i), 1e-15);
            whole += grid.length(i);
        }
        assertEquals(1, grid.time(5));
        assertEquals(0.99, whole, 1e-15);
        assertEquals(TimeGrid.uniform(7), TimeGrid.linspace(0, 7));
        for (double wrong : new double[] {-0.01, 1, Double.NaN}) {
            assertRefused(
                    IllegalArgumentException.class,
                    () -> TimeGrid.linspace(wrong, 5),
                    "time grid: the start is " + wrong + ", expected 0 or more and below 1");
        }
    }

    @Test
    void timesAreRaisedToAPower() {
        TimeGrid grid = TimeGrid.linspace(0.01, 3).power(2.5);
        double[] expected = {1e-5, Math.pow(0.34, 2.5), Math.pow(0.67, 2.5), 1};
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], grid.time(i), 1e-15);
        }
        assertEquals(expected[2] - expected[1], grid.length(1), 1e-15);
        assertEquals(0, TimeGrid.uniform(3).power(2).time(0));
        assertEquals(1.0 / 3, TimeGrid.uniform(3).power(1).length(1), "to the last digit");
        for (double wrong : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
            assertRefused(
                    IllegalArgumentException.class,
                    () -> TimeGrid.uniform(3).power(wrong),
                    "the exponent is " + wrong + ", expected a finite number above 0");
        }
        // 0.01 to this power is 0 in float64, as is 0.34.
        assertRefused(
                IllegalArgumentException.class, () -> TimeGrid.linspace(0.01, 3).power(1e4), "expected rising times");
    }

    @Test
    void samplersFromNoiseRefuseALaterStart() {
        TimeGrid late = TimeGrid.linspace(0.01, 5);
        Drift drift = (time, state, condition) -> state;
        ConditionalDrift inner = (start, state, context) -> state;
        try (MetaFlowMap map = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 4, 1, 0))) {
            Map<String, Executable> samplers = Map.of(
                    "posterior sampler", () -> new PosteriorSampler(map, late),
                    "refinement sampler", () -> new RefinementSampler(map, late),
                    "flow-map sampler", () -> new FlowMapSampler(map, late),
                    "ODE sampler", () -> new OdeSampler(drift, late, Solver.EULER),
                    "GLASS sampler", () -> new GlassSampler(inner, late, Solver.EULER));
            samplers.forEach((name, made) -> assertRefused(
                    IllegalArgumentException.class, made, name + ": the grid begins at time 0.01, expected 0"));
        }
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
