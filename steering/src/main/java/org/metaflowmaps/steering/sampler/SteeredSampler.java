package org.metaflowmaps.steering.sampler;

import com.google.common.base.Preconditions;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.function.IntFunction;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.InputValues;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.BadScoreException;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.ScoreGuard;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.ValueGradient;

/**
 * Samples a reward's tilted law, each sample by one path of the flow's ODE or SDE, corrected by an estimate of the
 * value function's gradient (paper, method §6.1 and §7). With exact estimates, no renormalisation and many steps the
 * samples have the tilted law; estimates from few draws are biased (method §6.2).
 *
 * <p>Paths start from standard normal states at the grid's first time, as in the paper. A step reads nothing back from
 * the device unless an estimator or its reward does.
 *
 * <p>Thread safety: immutable; several threads may sample at once, each with its own noise.
 *
 * @param schedule the estimator of each step
 * @param grid the times of the steps; it begins above 0
 * @param dynamics ODE or SDE
 * @param scale the scale of the correction
 * @param scored scores the final samples; empty for no scores
 * @param traced true to return the steps' values and norms
 */
public record SteeredSampler(
        Schedule schedule,
        TimeGrid grid,
        Dynamics dynamics,
        CorrectionScale scale,
        Optional<Tilt> scored,
        boolean traced) {
    private static final int MOST_STEPS = 1_000_000;

    /** Checks that the grid begins above 0. */
    public SteeredSampler {
        Preconditions.checkNotNull(schedule, "steered sampler: the schedule is null");
        Preconditions.checkNotNull(dynamics, "steered sampler: the dynamics are null");
        Preconditions.checkNotNull(scale, "steered sampler: the scale of the correction is null");
        Preconditions.checkNotNull(scored, "steered sampler: the scored tilt is null; for none, give Optional.empty()");
        Preconditions.checkArgument(
                grid.time(0) > 0,
                "steered sampler: the grid begins at 0, where (1 - t)/t is infinite, expected a start above 0: use "
                        + "TimeGrid.linspace(0.01, steps)");
    }

    /** Uses one estimator for all steps, its exact correction, no scores and no trace. */
    public SteeredSampler(ValueGradient estimator, TimeGrid grid, Dynamics dynamics) {
        this(Schedule.always(estimator), grid, dynamics, CorrectionScale.EXACT, Optional.empty(), false);
    }

    /**
     * Returns the sampler with the most steps within a budget of evaluations.
     *
     * @param evaluations the budget per sample, counted as in the paper
     * @param condition of the samples
     * @param ofSteps makes a sampler of that many steps; more steps must cost more
     * @throws IllegalArgumentException if not even one step is within the budget
     */
    public static SteeredSampler within(long evaluations, Condition condition, IntFunction<SteeredSampler> ofSteps) {
        long one = ofSteps.apply(1).evaluations(condition);
        Preconditions.checkArgument(
                one <= evaluations,
                "steered sampler: the budget is %s evaluations, but one step costs %s: raise the budget, or lower the "
                        + "number of draws",
                evaluations,
                one);
        int low = 1;
        int high = MOST_STEPS + 1;
        while (high - low > 1) {
            // Double until there is an upper bound: most budgets are small, and a sampler of a million steps is slow to
            // make.
            int middle = high > MOST_STEPS ? Math.min(2 * low, MOST_STEPS) : (low + high) >>> 1;
            if (ofSteps.apply(middle).evaluations(condition) <= evaluations) {
                low = middle;
                if (low == MOST_STEPS) {
                    break;
                }
            } else {
                high = middle;
            }
        }
        return ofSteps.apply(low);
    }

    /** Returns the evaluations of one sample, counted as in the paper (method §8.4). */
    public long evaluations(Condition condition) {
        long sum = 0;
        for (int step = 0; step < grid.steps(); step++) {
            long stages = isHeun(step) ? 2 : 1;
            sum += stages * schedule.at(step, grid.time(step)).evaluations(condition);
        }
        return sum;
    }

    /** Draws without a listener: see {@link #sample(SteeringNoise, Condition, SamplingListener)}. */
    public SteeredResult sample(SteeringNoise noise, Condition condition) {
        return sample(noise, condition, SamplingListener.NONE);
    }

    /**
     * Draws one sample for each row of the noise.
     *
     * @param noise the random numbers of the rows: start, estimators' draws, and diffusion
     * @param condition labels and guidance scales of the rows
     * @param listener called after every step; may cancel
     * @return tensors in the innermost open scope, without a gradient graph
     * @throws CancellationException if the listener cancels; all tensors are freed then
     * @throws IllegalArgumentException if shapes, types, devices, labels or scales do not fit
     * @throws BadScoreException if a score was NaN or positive infinity; thrown only at the end, because nothing is
     *     read back before
     */
    public SteeredResult sample(SteeringNoise noise, Condition condition, SamplingListener listener) {
        long begin = System.nanoTime();
        int steps = grid.steps();
        condition.guidance().ifPresent(scales -> InputValues.requireFinite("guidance", scales));
        try (TensorScope scope = TensorScope.open();
                ScoreGuard guard = new ScoreGuard();
                Autograd.Mode off = Autograd.noGrad()) {
            Run run = new Run(condition, noise, guard);
            Tensor state = noise.normal(SteeringNoise.Use.START, 0);
            Optional<SteeringTrace> trace = traced ? Optional.of(SteeringTrace.empty(steps, state)) : Optional.empty();
            for (int step = 0; step < steps; step++) {
                if (listener.isCancelled()) {
                    throw new CancellationException(
                            "steered sampling was cancelled after " + step + " of " + steps + " steps");
                }
                try (TensorScope inner = TensorScope.open()) {
                    Tensor next = inner.keep(
                            switch (dynamics) {
                                case Dynamics.Ode ode -> flow(run, step, state, trace);
                                case Dynamics.Sde sde -> diffuse(run, sde, step, state, trace);
                            });
                    if (step > 0) {
                        state.close();
                    }
                    state = next;
                }
                listener.stepDone(step + 1, steps);
            }
            Tensor samples = state;
            Optional<Tensor> rewards = scored.map(tilt -> {
                Tensor scores = tilt.score(samples, condition);
                guard.record(tilt.reward().name(), steps, noise, scores);
                return scores;
            });
            guard.check();
            return new SteeredResult(
                    scope.keep(samples),
                    rewards.map(scope::keep),
                    trace.map(entries -> entries.keptFrom(scope)),
                    evaluations(condition),
                    Duration.ofNanos(System.nanoTime() - begin));
        }
    }

    private boolean isHeun(int step) {
        return dynamics instanceof Dynamics.Ode ode && ode.solver() == Solver.HEUN && step + 1 < grid.steps();
    }

    /** Inputs that all steps share. */
    private record Run(Condition condition, SteeringNoise noise, ScoreGuard guard) {
        Point at(double time, int step, Tensor state) {
            return new Point(time, step, state, condition, noise, guard);
        }
    }

    private Tensor flow(Run run, int step, Tensor state, Optional<SteeringTrace> trace) {
        ValueGradient estimator = schedule.at(step, grid.time(step));
        ValueGradient.Estimate here = estimator.at(run.at(grid.time(step), step, state));
        trace.ifPresent(entries -> entries.set(step, here));
        Tensor first = scale.drift(here.base(), here.correction());
        Tensor ahead = state.add(first.mul(grid.length(step)));
        if (!isHeun(step)) {
            return ahead;
        }
        ValueGradient.Estimate there = estimator.at(run.at(grid.time(step + 1), step, ahead));
        Tensor second = scale.drift(there.base(), there.correction());
        return state.add(first.add(second).mul(grid.length(step) / 2));
    }

    private Tensor diffuse(Run run, Dynamics.Sde sde, int step, Tensor state, Optional<SteeringTrace> trace) {
        double time = grid.time(step);
        double length = grid.length(step);
        ValueGradient.Estimate here = schedule.at(step, time).at(run.at(time, step, state));
        trace.ifPresent(entries -> entries.set(step, here));
        // b + c·score = 2b - x/t; the SDE adds twice the estimate's correction c·∇V.
        Tensor base = here.base().mul(2).sub(state.div(time));
        Tensor next = state.add(scale.drift(base, here.correction().mul(2)).mul(length));
        if (step + 1 == grid.steps() && !sde.lastNoise()) {
            return next;
        }
        double spread = Math.sqrt(2 * sde.coefficient().at(time) * length);
        return next.add(run.noise().normal(SteeringNoise.Use.DIFFUSION, step).mul(spread));
    }
}
