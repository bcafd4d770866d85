package org.metaflowmaps.models.sampler;

import java.util.function.BinaryOperator;
import org.metaflowmaps.runtime.Tensor;

/** The method of a step along a velocity. */
public enum Solver {
    /** Euler's method, of first order: the velocity at the beginning of the step. */
    EULER(1) {
        @Override
        Tensor step(BinaryOperator<Tensor> velocity, Tensor state, TimeGrid grid, int step) {
            return state.add(velocity.apply(PosteriorSampler.time(grid, step, state), state)
                    .mul(grid.length(step)));
        }
    },
    /** Heun's method, of second order: the mean of the velocities at the beginning and at the end of an Euler step. */
    HEUN(2) {
        @Override
        Tensor step(BinaryOperator<Tensor> velocity, Tensor state, TimeGrid grid, int step) {
            Tensor first = velocity.apply(PosteriorSampler.time(grid, step, state), state);
            Tensor guess = state.add(first.mul(grid.length(step)));
            Tensor second = velocity.apply(PosteriorSampler.time(grid, step + 1, state), guess);
            return state.add(first.add(second).mul(grid.length(step) / 2));
        }
    };

    private final int evaluations;

    Solver(int evaluations) {
        this.evaluations = evaluations;
    }

    /** Returns the number of velocity evaluations per step. */
    public int evaluations() {
        return evaluations;
    }

    /**
     * Returns the state after one step.
     *
     * @param velocity of a time (B) and a state (B, item shape)
     * @param state (B, item shape), not owned
     */
    abstract Tensor step(BinaryOperator<Tensor> velocity, Tensor state, TimeGrid grid, int step);
}
