package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;

/**
 * One measurement of {@link SteeringFrontier}: a method with a setting.
 *
 * @param method the method
 * @param setting the number that {@link FrontierMethod#letter} names, at least 1; 1 for a method without a setting
 */
public record FrontierCell(FrontierMethod method, int setting) {
    private static final int MOST = 1_000_000;

    /** Checks the setting. */
    public FrontierCell {
        Preconditions.checkNotNull(method, "frontier: the method is null");
        Preconditions.checkArgument(
                setting >= 1 && setting <= MOST,
                "frontier: %s with setting %s, expected 1 to %s",
                method,
                setting,
                MOST);
        Preconditions.checkArgument(
                setting == 1 || !method.letter().isEmpty(),
                "frontier: %s with setting %s, but it has no settings: give 1",
                method,
                setting);
    }

    /** Returns such as "mfm-g, N = 4". */
    @Override
    public String toString() {
        return method.letter().isEmpty() ? method.toString() : method + ", " + method.letter() + " = " + setting;
    }
}
