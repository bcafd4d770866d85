package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import java.util.Optional;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.SteeringNoise;

/**
 * Simulates the memoryless diffusion from given states to data. The ends are draws from the posteriors of the states,
 * exact in the limit of many steps: the reference for estimates of the value function (method §12 C).
 *
 * <p>Thread safety: immutable; several threads may simulate at once, each with its own noise.
 *
 * @param transition the steps; not guided
 * @param grid the times of the steps; it begins at the states' time
 */
public record Rollout(Transition transition, TimeGrid grid) {
    /** Checks that the transition is not guided. */
    public Rollout {
        Preconditions.checkNotNull(grid, "rollout: the time grid is null");
        Preconditions.checkNotNull(transition, "rollout: the transition is null");
        Preconditions.checkArgument(
                !(transition instanceof Transition.Guided),
                "rollout: a guided transition needs a potential, expected Transition.EulerMaruyama or PosteriorDraw");
    }

    /**
     * Simulates one path from each state.
     *
     * @param states x_t at the grid's first time: (rows, item shape), not owned
     * @param condition labels and guidance scales of the rows
     * @param noise the random numbers of the rows
     * @return the paths' ends at time 1: (rows, item shape), without a gradient graph, in the innermost open scope
     */
    public Tensor from(Tensor states, Condition condition, SteeringNoise noise) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor state = states;
            for (int step = 0; step < grid.steps(); step++) {
                try (TensorScope inner = TensorScope.open()) {
                    Point point = new Point(grid.time(step), step, state, condition, noise);
                    Tensor next = inner.keep(Moves.move(transition, point, Optional.empty(), grid.time(step + 1))
                            .states());
                    if (step > 0) {
                        state.close();
                    }
                    state = next;
                }
            }
            return scope.keep(state);
        }
    }
}
