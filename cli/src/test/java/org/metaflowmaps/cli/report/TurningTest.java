package org.metaflowmaps.cli.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

/** Where scores turn. */
final class TurningTest {
    private static final Series NONE = new Series(new long[0], new double[0], new double[0]);

    private static Series series(double error, double... values) {
        long[] steps = new long[values.length];
        double[] errors = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            steps[i] = 10L * (i + 1);
            errors[i] = error;
        }
        return new Series(steps, values, errors);
    }

    private static Turning turning(Series scores, Series falls) {
        return Turning.of(scores, falls).orElseThrow();
    }

    @Test
    void aScoreThatFallsBeyondItsErrorTurns() {
        Turning found = turning(series(0.1, 1, 3, 2.9, 2.5, 2.7, 2), NONE);
        assertEquals(20, found.bestStep());
        assertEquals(OptionalLong.of(40), found.fellFrom());
        assertEquals(60, found.lastStep());
        assertEquals(1, found.fall(), 1e-12);
        assertEquals(Math.hypot(0.1, 0.1), found.fallError(), 1e-12);
        assertTrue(found.sentence().contains("turned there: from step 40"), found.sentence());
    }

    @Test
    void aScoreThatComesBackOrFallsLittleDoesNotTurn() {
        assertTrue(turning(series(0.1, 1, 3, 2, 2.95), NONE).fellFrom().isEmpty());
        assertTrue(turning(series(0.5, 1, 3, 2.8, 2.6), NONE).fellFrom().isEmpty());
        Turning rising = turning(series(0.1, 1, 2, 3), NONE);
        assertEquals(rising.bestStep(), rising.lastStep());
        assertTrue(rising.sentence().contains("last evaluation"), rising.sentence());
        assertTrue(Turning.of(NONE, NONE).isEmpty());
    }

    @Test
    void differencesFromTheSameNoiseAreBetterKnown() {
        Series scores = series(0.5, 1, 3, 2.8, 2.8);
        assertTrue(turning(scores, NONE).fellFrom().isEmpty());
        Turning paired = turning(scores, series(0.05, 0, 0, 3 - 2.8, 3 - 2.8));
        assertEquals(OptionalLong.of(30), paired.fellFrom());
        assertEquals(0.05, paired.fallError(), 1e-12);
        // A run resumed at step 30 compares with that step.
        assertTrue(turning(scores, series(0, 0, 0, 0, 0)).fellFrom().isEmpty());
    }
}
