package org.metaflowmaps.cli.report;

import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Where a score that is not optimised was best, and whether it fell afterwards.
 *
 * @param bestStep the step of the largest score
 * @param best that score
 * @param lastStep the step of the last score
 * @param fall the best score minus the last one
 * @param fallError its standard error; NaN if unknown
 * @param fellFrom the first step after the best from which on every score is below the best by more than two standard
 *     errors of the difference; empty if the score did not turn
 */
record Turning(long bestStep, double best, long lastStep, double fall, double fallError, OptionalLong fellFrom) {
    /**
     * Standard errors beyond which a score has fallen. One is not enough: the best of several evaluations is above the
     * others by chance.
     */
    private static final double SURE = 2;

    private static final double ROUNDING = 1e-9;

    /**
     * Finds the best score.
     *
     * @param scores the score over steps
     * @param falls the best score so far minus the score, from the same noise, with its standard error; where it is
     *     missing or of another best score, the standard errors of both scores are used, which is too large
     * @return empty if there are no scores
     */
    static Optional<Turning> of(Series scores, Series falls) {
        if (scores.isEmpty()) {
            return Optional.empty();
        }
        int best = scores.largest();
        OptionalLong from = OptionalLong.empty();
        double fall = 0;
        double error = 0;
        for (int i = best + 1; i < scores.length(); i++) {
            fall = scores.values()[best] - scores.values()[i];
            error = error(scores, best, i, falls);
            boolean below = fall > (Double.isNaN(error) ? 0 : SURE * error);
            if (!below) {
                from = OptionalLong.empty();
            } else if (from.isEmpty()) {
                from = OptionalLong.of(scores.steps()[i]);
            }
        }
        return Optional.of(new Turning(
                scores.steps()[best], scores.values()[best], scores.steps()[scores.length() - 1], fall, error, from));
    }

    private static double error(Series scores, int best, int other, Series falls) {
        int paired = falls.indexOf(scores.steps()[other]);
        double fall = scores.values()[best] - scores.values()[other];
        // A resumed run does not know the samples of the best score before it, and compares with a later one.
        boolean same = paired >= 0 && Math.abs(falls.values()[paired] - fall) <= ROUNDING * (1 + Math.abs(fall));
        return same && Double.isFinite(falls.errors()[paired])
                ? falls.errors()[paired]
                : Math.hypot(scores.errors()[best], scores.errors()[other]);
    }

    /** Returns true if the score fell after its best and stayed below it. */
    boolean turned() {
        return fellFrom.isPresent();
    }

    /** Returns a sentence about the result. */
    String sentence() {
        String found = String.format(Locale.ROOT, "The independent score is best at step %d: %.4f. ", bestStep, best);
        if (bestStep == lastStep) {
            return found + "That is the last evaluation, so it did not turn.";
        }
        String change = String.format(
                Locale.ROOT,
                "%.4f%s",
                fall,
                Double.isNaN(fallError) ? "" : String.format(Locale.ROOT, " ± %.4f (s.e.)", fallError));
        return found
                + (turned()
                        ? "It turned there: from step " + fellFrom.getAsLong() + " on it is below by more than two"
                                + " standard errors of the difference, at step " + lastStep + " by " + change + "."
                        : "It did not turn: at step " + lastStep + " it is lower by " + change
                                + ", but it does not stay below by more than two standard errors.");
    }
}
