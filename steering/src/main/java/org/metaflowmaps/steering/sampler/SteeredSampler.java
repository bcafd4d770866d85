package org.metaflowmaps.steering.sampler;

import com.google.common.base.Preconditions;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.function.IntFunction;
import java.util.function.LongSupplier;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.InputValues;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ProfilerRange;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.particle.Budget;
import org.metaflowmaps.steering.particle.Pace;
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
 * the device unless an estimator or its reward does, or the budget has a time.
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
            sum += evaluations(step, grid.time(step), step + 1 == grid.steps(), condition);
        }
        return sum;
    }

    private long evaluations(int number, double time, boolean isLast, Condition condition) {
        return (isHeun(isLast) ? 2 : 1) * schedule.at(number, time).evaluations(condition);
    }

    /** Draws without a listener: see {@link #sample(SteeringNoise, Condition, SamplingListener)}. */
    public SteeredResult sample(SteeringNoise noise, Condition condition) {
        return sample(noise, condition, SamplingListener.NONE);
    }

    /** Draws without a budget: see {@link #sample(SteeringNoise, Condition, Budget, SamplingListener)}. */
    public SteeredResult sample(SteeringNoise noise, Condition condition, SamplingListener listener) {
        return sample(noise, condition, Budget.NONE, listener);
    }

    /**
     * Draws one sample for each row of the noise.
     *
     * @param noise the random numbers of the rows: start, estimators' draws, and diffusion
     * @param condition labels and guidance scales of the rows
     * @param budget makes the steps fewer and longer, between times of the grid: for evaluations the most steps that they
     *     pay for, as with {@link TimeGrid#thinned}; for seconds as {@link Pace} says, with one read from the device in
     *     each step
     * @param listener called after every step; may cancel
     * @return tensors in the innermost open scope, without a gradient graph
     * @throws CancellationException if the listener cancels; all tensors are freed then
     * @throws IllegalArgumentException if shapes, types, devices, labels or scales do not fit, or if a single step exceeds
     *     the budget
     * @throws BadScoreException if a score was NaN or positive infinity; thrown only at the end, because nothing is
     *     read back before
     */
    public SteeredResult sample(SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener) {
        return sample(noise, condition, budget, listener, System::nanoTime);
    }

    SteeredResult sample(
            SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener, LongSupplier clock) {
        condition.guidance().ifPresent(scales -> InputValues.requireFinite("guidance", scales));
        Preconditions.checkNotNull(budget, "steered sampler: the budget is null; for no limit, give Budget.NONE");
        return evaluations(condition) <= budget.evaluations()
                ? run(noise, condition, budget, listener, clock)
                : within(budget.evaluations(), condition, this::ofSteps).run(noise, condition, budget, listener, clock);
    }

    private SteeredSampler ofSteps(int steps) {
        TimeGrid fewer = grid.thinned(Math.min(steps, grid.steps()));
        return new SteeredSampler(schedule, fewer, dynamics, scale, scored, traced);
    }

    private SteeredResult run(
            SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener, LongSupplier clock) {
        long begin = System.nanoTime();
        Pace pace = new Pace(grid, budget, clock);
        try (TensorScope scope = TensorScope.open();
                ScoreGuard guard = new ScoreGuard();
                Autograd.Mode off = Autograd.noGrad()) {
            Run run = new Run(condition, noise, guard);
            Tensor state = noise.normal(SteeringNoise.Use.START, 0);
            Optional<SteeringTrace> trace =
                    traced ? Optional.of(SteeringTrace.empty(grid.steps(), state)) : Optional.empty();
            long evaluations = 0;
            int planned = grid.steps();
            while (!pace.isDone()) {
                if (listener.isCancelled()) {
                    throw new CancellationException(
                            "steered sampling was cancelled after " + pace.taken() + " of " + planned + " steps");
                }
                Pace.Step step = pace.next();
                planned = step.planned();
                try (TensorScope inner = TensorScope.open();
                        ProfilerRange range = ProfilerRange.open("steered step", step.number() + 1)) {
                    Tensor next = inner.keep(
                            switch (dynamics) {
                                case Dynamics.Ode ode -> flow(run, step, state, trace);
                                case Dynamics.Sde sde -> diffuse(run, sde, step, state, trace);
                            });
                    if (step.number() > 0) {
                        state.close();
                    }
                    state = next;
                    if (pace.isTimed()) {
                        // Wait for the device: otherwise the time is that of the step's submission.
                        state.reshape(-1).narrow(0, 0, 1).item();
                    }
                }
                evaluations += evaluations(step.number(), step.time(), step.isLast(), condition);
                listener.stepDone(pace.taken(), planned);
            }
            Tensor samples = state;
            Optional<Tensor> rewards = scored.map(tilt -> {
                Tensor scores = tilt.scoreWithoutAutocast(samples, condition);
                guard.record(tilt, pace.taken(), noise, scores);
                return scores;
            });
            guard.check();
            return new SteeredResult(
                    scope.keep(samples),
                    rewards.map(scope::keep),
                    trace.map(entries -> entries.first(pace.taken()).keptFrom(scope)),
                    evaluations,
                    Duration.ofNanos(System.nanoTime() - begin));
        }
    }

    private boolean isHeun(boolean isLast) {
        return dynamics instanceof Dynamics.Ode ode && ode.solver() == Solver.HEUN && !isLast;
    }

    /** Inputs that all steps share. */
    private record Run(Condition condition, SteeringNoise noise, ScoreGuard guard) {
        Point at(double time, int step, Tensor state) {
            return new Point(time, step, state, condition, noise, guard);
        }
    }

    private Tensor flow(Run run, Pace.Step step, Tensor state, Optional<SteeringTrace> trace) {
        ValueGradient estimator = schedule.at(step.number(), step.time());
        ValueGradient.Estimate here = estimator.at(run.at(step.time(), step.number(), state));
        trace.ifPresent(entries -> entries.set(step.number(), here));
        Tensor first = scale.drift(here.base(), here.correction());
        Tensor ahead = state.add(first.mul(step.length()));
        if (!isHeun(step.isLast())) {
            return ahead;
        }
        ValueGradient.Estimate there = estimator.at(run.at(step.end(), step.number(), ahead));
        Tensor second = scale.drift(there.base(), there.correction());
        return state.add(first.add(second).mul(step.length() / 2));
    }

    private Tensor diffuse(Run run, Dynamics.Sde sde, Pace.Step step, Tensor state, Optional<SteeringTrace> trace) {
        double time = step.time();
        ValueGradient.Estimate here = schedule.at(step.number(), time).at(run.at(time, step.number(), state));
        trace.ifPresent(entries -> entries.set(step.number(), here));
        // b + c·score = 2b - x/t; the SDE adds twice the estimate's correction c·∇V.
        Tensor base = here.base().mul(2).sub(state.div(time));
        Tensor next = state.add(scale.drift(base, here.correction().mul(2)).mul(step.length()));
        if (step.isLast() && !sde.lastNoise()) {
            return next;
        }
        double spread = Math.sqrt(2 * sde.coefficient().at(time) * step.length());
        return next.add(
                run.noise().normal(SteeringNoise.Use.DIFFUSION, step.number()).mul(spread));
    }
}
