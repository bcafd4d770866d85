package org.metaflowmaps.training.optim;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;

/** Holds the norm of all gradients together below a bound. */
public final class Clipping {
    private static final double EPS = 1e-6;

    private Clipping() {}

    /**
     * Scales the arena's gradients down so that their Euclidean norm is at most {@code largest}, without reading it back.
     *
     * @param largest above 0; infinity leaves the gradients as they are
     * @return the norm before, a scalar in the innermost open scope
     */
    public static Tensor clip(ParameterArena arena, double largest) {
        Preconditions.checkArgument(largest > 0, "clipping: the largest norm is %s, expected more than 0", largest);
        try (Autograd.Mode off = Autograd.noGrad()) {
            Tensor norm = arena.gradients().norm();
            if (largest < Double.POSITIVE_INFINITY) {
                arena.gradients().mul_(norm.add(EPS).reciprocal().mul(largest).clampMax(1));
            }
            return norm;
        }
    }
}
