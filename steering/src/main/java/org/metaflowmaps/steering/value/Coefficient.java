package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Tensor;

/**
 * The factor σ²/2 = (1 - t)/t of the value's gradient (method §6.1), limited because it diverges at t = 0, where the
 * gradient falls as t.
 *
 * @param limit above 0; infinity for none. The paper's is 25
 */
public record Coefficient(double limit) {
    /** The paper's limit (method §7). */
    public static final Coefficient PAPER = new Coefficient(25);

    /** Checks the range. */
    public Coefficient {
        Preconditions.checkArgument(limit > 0, "coefficient: limit is %s, expected more than 0", limit);
    }

    /** Returns min((1 - t)/t, limit). */
    public double at(double time) {
        Preconditions.checkArgument(time >= 0 && time <= 1, "coefficient: time is %s, expected 0 to 1", time);
        return Math.min(1 / time - 1, limit);
    }

    /** Returns the factor of a time in [0, 1]: () float64, in the innermost open scope. */
    Tensor at(Tensor time) {
        return time.reciprocal().sub(1).clampMax(limit);
    }
}
