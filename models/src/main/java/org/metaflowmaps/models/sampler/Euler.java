package org.metaflowmaps.models.sampler;

import java.util.function.BinaryOperator;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Euler's method from time 0 to 1. */
final class Euler {
    private Euler() {}

    /**
     * Where a velocity carries noise to.
     *
     * @param noise (B, item shape)
     * @param steps uniform, at least 1
     * @param velocity of a time (B) and a state (B, item shape)
     * @return (B, item shape), in the innermost open scope
     */
    static Tensor integrate(Tensor noise, int steps, BinaryOperator<Tensor> velocity) {
        Tensor state = noise;
        for (int step = 0; step < steps; step++) {
            try (TensorScope scope = TensorScope.open()) {
                Tensor time = Torch.full((double) step / steps, noise.dtype(), noise.device(), noise.size(0));
                Tensor next = scope.keep(state.add(velocity.apply(time, state).mul(1.0 / steps)));
                if (step > 0) {
                    state.close();
                }
                state = next;
            }
        }
        return state;
    }
}
