package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.util.function.IntToDoubleFunction;

/**
 * A number estimated from independent units, such as noisy states, with its standard error.
 *
 * @param value of all units
 * @param error by the delete-one jackknife: √((n - 1)/n · Σ(θ_i - θ̄)²), where θ_i is the value without unit i
 */
public record Estimated(double value, double error) {
    /** Argument of a statistic for "without none". */
    static final int NONE = -1;

    /**
     * Computes a statistic of all units and without each.
     *
     * @param units their number, at least 2
     * @param without returns the statistic without a unit; {@link #NONE} for that of all
     */
    static Estimated of(int units, IntToDoubleFunction without) {
        Preconditions.checkArgument(units >= 2, "standard error: %s units, expected at least 2", units);
        double sum = 0;
        double squares = 0;
        double value = without.applyAsDouble(NONE);
        for (int i = 0; i < units; i++) {
            // Relative to the value, so that nothing cancels.
            double apart = without.applyAsDouble(i) - value;
            sum += apart;
            squares += apart * apart;
        }
        double spread = Math.max(0, squares - sum * sum / units);
        return new Estimated(value, Math.sqrt(spread * (units - 1) / units));
    }
}
