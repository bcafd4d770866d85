package org.metaflowmaps.models.sampler;

import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.InputValues;

/**
 * Samples the data along the unconditional drift, dx/dt = b_t(x), from fresh noise; for plain flows.
 *
 * <p>Thread safety: immutable; several threads may sample at once. If another thread closes the
 * drift's network meanwhile, sampling throws {@link IllegalStateException}.
 *
 * @param drift such as {@link org.metaflowmaps.models.drift.NetworkDrift}
 * @param grid the times at which steps begin and end
 * @param solver the method of a step; Heun's evaluates the drift at time 1 too
 */
public record OdeSampler(Drift drift, TimeGrid grid, Solver solver) implements Sampler<Condition> {
    /** Checks that the grid begins at 0. */
    public OdeSampler {
        TimeGrid.requireNoiseFirst(grid, "ODE sampler");
    }

    /** Uses Euler steps of equal length. */
    public OdeSampler(Drift drift, int steps) {
        this(drift, TimeGrid.uniform(steps), Solver.EULER);
    }

    @Override
    public SampleResult sample(Noise noise, Condition condition, SamplingListener listener) {
        condition.guidance().ifPresent(scales -> InputValues.requireFinite("guidance", scales));
        return Sampling.solve(
                grid,
                solver,
                noise,
                listener,
                drift.evaluations(condition),
                (time, state) -> drift.at(time, state, condition));
    }
}
