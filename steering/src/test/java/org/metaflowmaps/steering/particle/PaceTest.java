package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.sampler.TimeGrid;

final class PaceTest {
    private static List<Double> ends(TimeGrid grid, double seconds, Clock clock) {
        List<Double> ends = new ArrayList<>();
        Pace pace = new Pace(grid, Budget.ofSeconds(seconds), clock);
        assertTrue(pace.isTimed());
        double time = grid.time(0);
        while (!pace.isDone()) {
            Pace.Step step = pace.next();
            assertEquals(time, step.time());
            assertEquals(ends.size(), step.number());
            assertEquals(step.end() - step.time(), step.length(), 1e-15);
            assertEquals(step.end() == 1, step.isLast());
            time = step.end();
            ends.add(time);
            clock.stepDone(pace.taken(), step.planned());
        }
        assertEquals(ends.size(), pace.taken());
        assertThrows(IllegalStateException.class, pace::next);
        return ends;
    }

    @Test
    void withoutALimitItIsTheGrid() {
        TimeGrid grid = TimeGrid.uniform(7);
        Pace pace = new Pace(grid, Budget.ofEvaluations(1), new Clock(1e9));
        assertFalse(pace.isTimed());
        for (int i = 0; i < 7; i++) {
            assertEquals(new Pace.Step(i, grid.time(i), grid.time(i + 1), grid.length(i), 7), pace.next());
        }
        assertTrue(pace.isDone());
    }

    @Test
    void stepsGrowAsTheTimeNeeds() {
        TimeGrid grid = TimeGrid.uniform(8);
        assertEquals(8, ends(grid, 8, new Clock(1)).size(), "just enough");
        // After two steps of 1 s there is time for 3 more, of the 6 left.
        assertEquals(List.of(0.125, 0.25, 0.5, 0.75, 1.0), ends(grid, 5, new Clock(1)));
        // A slow first step does not lengthen those after the second.
        assertEquals(8, ends(grid, 12, new Clock(5, 1)).size());
        // Steps become slower: the expectation follows.
        assertEquals(List.of(0.125, 0.25, 0.375, 1.0), ends(grid, 8, new Clock(1, 1, 9, 9)));
    }

    @Test
    void withoutTimeOneStepGoesToTheEnd() {
        TimeGrid grid = TimeGrid.uniform(8);
        assertEquals(List.of(0.125, 1.0), ends(grid, 1e-9, new Clock(1)));
        assertEquals(List.of(0.125, 0.25, 1.0), ends(grid, 2, new Clock(1)));
        assertEquals(List.of(1.0), ends(TimeGrid.uniform(1), 1e-9, new Clock(1)));
    }

    /** However long steps take, a run ends at time 1, late by two of them at most: one that began in time, and the last. */
    @Test
    void aRunIsLateByTwoStepsAtMost() {
        Random random = new Random(4);
        for (int trial = 0; trial < 300; trial++) {
            int steps = 1 + random.nextInt(40);
            double[] each = random.doubles(steps + 1, 0.5, 1.5).toArray();
            double seconds = 0.1 + 50 * random.nextDouble();
            Clock clock = new Clock(each);
            List<Double> ends = ends(TimeGrid.uniform(steps), seconds, clock);
            assertEquals(1, ends.getLast());
            assertTrue(clock.now() <= seconds + 2 * 1.5, clock.now() + " of " + seconds);
            if (seconds >= 1.5 * steps) {
                assertEquals(steps, ends.size());
            }
        }
    }
}
