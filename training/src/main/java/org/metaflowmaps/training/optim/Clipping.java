package org.metaflowmaps.training.optim;

import com.google.common.base.Preconditions;
import java.util.List;
import java.util.Objects;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;

/** Limits the norm of all gradients together. */
public final class Clipping {
    private static final double EPS = 1e-6;

    private Clipping() {}

    /** {@link #clip(List, double)} for one arena. */
    public static Tensor clip(ParameterArena arena, double largest) {
        return clip(List.of(Objects.requireNonNull(arena, "arena")), largest);
    }

    /**
     * Scales the gradients of all arenas down by one factor, so that the Euclidean norm of all of them together is at
     * most {@code largest}, without reading it back.
     *
     * @param arenas at least one, all on one device
     * @param largest above 0; infinity does not change the gradients
     * @return the norm before clipping, a scalar in the innermost open scope
     */
    public static Tensor clip(List<ParameterArena> arenas, double largest) {
        Preconditions.checkArgument(largest > 0, "clipping: the largest norm is %s, expected more than 0", largest);
        try (Autograd.Mode off = Autograd.noGrad()) {
            Tensor norm = norm(arenas);
            if (largest < Double.POSITIVE_INFINITY) {
                Tensor factor = norm.add(EPS).reciprocal().mul(largest).clampMax(1);
                arenas.forEach(arena -> arena.gradients().mul_(factor));
            }
            return norm;
        }
    }

    /**
     * Returns the Euclidean norm of the gradients of all arenas together, without reading it back.
     *
     * @param arenas at least one, all on one device
     * @return a scalar in the innermost open scope
     */
    public static Tensor norm(List<ParameterArena> arenas) {
        Preconditions.checkArgument(
                !arenas.isEmpty(), "clipping: no parameters were given, expected at least one arena");
        try (Autograd.Mode off = Autograd.noGrad()) {
            Tensor norm = arenas.getFirst().gradients().norm();
            for (ParameterArena other : arenas.subList(1, arenas.size())) {
                norm = norm.square().add(other.gradients().norm().square()).sqrt();
            }
            return norm;
        }
    }
}
