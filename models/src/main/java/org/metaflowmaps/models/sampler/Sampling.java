package org.metaflowmaps.models.sampler;

import java.time.Duration;
import java.util.concurrent.CancellationException;
import java.util.function.BinaryOperator;
import org.metaflowmaps.runtime.ProfilerRange;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** The loop of all samplers: scopes, listener, time. */
final class Sampling {
    private Sampling() {}

    /** One step of a sampler. */
    @FunctionalInterface
    interface Step {
        /**
         * Takes a step.
         *
         * @param step from 0 on
         * @param state (B, item shape), not owned
         * @return a new tensor, in the innermost open scope
         */
        Tensor from(int step, Tensor state);
    }

    /** Takes all steps of a grid from the first noise; each costs {@code evaluations}. */
    static SampleResult run(TimeGrid grid, Noise noise, SamplingListener listener, long evaluations, Step step) {
        long begin = System.nanoTime();
        int steps = grid.steps();
        try (TensorScope scope = TensorScope.open()) {
            Tensor state = noise.next();
            for (int i = 0; i < steps; i++) {
                if (listener.isCancelled()) {
                    throw new CancellationException("sampling was cancelled after " + i + " of " + steps + " steps");
                }
                try (TensorScope inner = TensorScope.open();
                        ProfilerRange range = ProfilerRange.open("sampler step", i + 1)) {
                    Tensor next = inner.keep(step.from(i, state));
                    if (i > 0) {
                        state.close();
                    }
                    state = next;
                }
                listener.stepDone(i + 1, steps);
            }
            return new SampleResult(
                    scope.keep(state), evaluations * steps, Duration.ofNanos(System.nanoTime() - begin));
        }
    }

    /** Integrates a velocity; each evaluation of it costs {@code evaluations}. */
    static SampleResult solve(
            TimeGrid grid,
            Solver solver,
            Noise noise,
            SamplingListener listener,
            int evaluations,
            BinaryOperator<Tensor> velocity) {
        return run(
                grid,
                noise,
                listener,
                (long) solver.evaluations() * evaluations,
                (step, state) -> solver.step(velocity, state, grid, step));
    }
}
