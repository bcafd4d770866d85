package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.function.LongSupplier;
import java.util.function.UnaryOperator;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.InputValues;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.BadScoreException;
import org.metaflowmaps.steering.value.CapturedGradient;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.PosteriorMeanGradient;
import org.metaflowmaps.steering.value.ScoreGuard;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.SteeringNoise.Use;
import org.metaflowmaps.steering.value.ValueGradient;

/**
 * Sequential Monte Carlo for the law that a reward tilts (method §8.1): particles move from noise to data, are weighted by ratios of
 * potentials, and resampled where few of them carry the weight. It is exact for any number of posterior draws: the mean of Ẑ is the
 * normaliser E[e^{λ·r(I_1)}], if the transition is exact. Several items are filtered at once, each by itself.
 *
 * <p>A particle whose draws all score negative infinity has weight 0 from then on. If the reward allows what such a particle might still
 * become, Ẑ is too small on average: use more draws then.
 *
 * <p>Nothing is read back from the device during a step, unless the map or the reward does, or the budget has a time.
 *
 * <p>Thread safety: immutable; several threads may filter at once, each with its own noise.
 *
 * @param potential weighs particles before the end, and scores them there
 * @param transition moves them
 * @param grid the times of the potentials, from 0, where the particles are exact samples of the prior
 * @param particles M of each item, at least 1
 * @param threshold particles of an item are resampled when their effective sample size is below this share of M: 0 for never, 1 for at
 *     every step
 * @param tempering of the potentials before the end
 */
public record ParticleFilter(
        Potential potential,
        Transition transition,
        TimeGrid grid,
        int particles,
        double threshold,
        Tempering tempering) {

    /** Checks the ranges. */
    public ParticleFilter {
        Preconditions.checkNotNull(potential, "particle filter: the potential is null");
        Preconditions.checkNotNull(transition, "particle filter: the transition is null");
        Preconditions.checkNotNull(tempering, "particle filter: the tempering is null; for none, give Tempering.NONE");
        Preconditions.checkArgument(
                grid.time(0) == 0,
                "particle filter: the grid begins at %s, expected 0, where the particles are samples of the prior: use "
                        + "TimeGrid.uniform(steps)",
                grid.time(0));
        Preconditions.checkArgument(particles >= 1, "particle filter: %s particles, expected at least 1", particles);
        Preconditions.checkArgument(
                threshold >= 0 && threshold <= 1,
                "particle filter: the threshold is %s, expected a share of the particles from 0 (never resample) to 1 "
                        + "(always)",
                threshold);
    }

    /** Makes a filter without tempering. */
    public ParticleFilter(Potential potential, Transition transition, TimeGrid grid, int particles, double threshold) {
        this(potential, transition, grid, particles, threshold, Tempering.NONE);
    }

    /**
     * Returns the twisted diffusion sampler (TDS), the paper's baseline: potentials e^{λ·r(D_t(x))} of the denoiser, whose gradient guides the
     * particles, and weights with the ratio of both transitions.
     *
     * @param drift b, differentiable in the state
     * @param tilt its reward has gradients
     * @param grid from 0; fine enough for Euler and Maruyama's steps
     * @param particles M of each item
     * @param threshold of the effective sample size, as a share of M
     */
    public static ParticleFilter twistedDiffusion(
            Drift drift, Tilt tilt, TimeGrid grid, int particles, double threshold) {
        return twistedDiffusion(drift, tilt, grid, particles, threshold, UnaryOperator.identity());
    }

    /**
     * Returns the same filter with another form of its gradient, such as a {@link CapturedGradient}.
     *
     * @param form returns an estimator with the estimates of the given one
     */
    public static ParticleFilter twistedDiffusion(
            Drift drift, Tilt tilt, TimeGrid grid, int particles, double threshold, UnaryOperator<ValueGradient> form) {
        Preconditions.checkNotNull(form, "particle filter: form is null");
        Coefficient memoryless = new Coefficient(Double.POSITIVE_INFINITY);
        ValueGradient gradient = form.apply(new PosteriorMeanGradient(drift, tilt, memoryless));
        return new ParticleFilter(
                Potential.of(gradient, tilt), new Transition.Guided(memoryless), grid, particles, threshold);
    }

    /** Returns the evaluations of one item, all its particles together, by the paper's counting (method §8.4). */
    public long evaluations(Condition condition) {
        return evaluations(grid.steps(), condition);
    }

    private long evaluations(int steps, Condition condition) {
        long move = switch (transition) {
            case Transition.PosteriorDraw draw -> 1;
            case Transition.EulerMaruyama euler -> euler.drift().evaluations(condition);
            case Transition.Guided guided -> 0;
        };
        return particles * (steps * (potential.evaluations(condition) + move) + 1);
    }

    /** Filters without a listener: see {@link #run(SteeringNoise, Condition, SamplingListener)}. */
    public ParticleResult run(SteeringNoise noise, Condition condition) {
        return run(noise, condition, SamplingListener.NONE);
    }

    /** Filters without a budget: see {@link #run(SteeringNoise, Condition, Budget, SamplingListener)}. */
    public ParticleResult run(SteeringNoise noise, Condition condition, SamplingListener listener) {
        return run(noise, condition, Budget.NONE, listener);
    }

    /**
     * Filters each item of the noise.
     *
     * @param noise of the items, with this filter's number of particles
     * @param condition labels and guidance scales of the items, one for each
     * @param budget makes the steps fewer and longer, between times of the grid: for evaluations the most steps that they
     *     pay for, as with {@link TimeGrid#thinned}; for seconds as {@link Pace} says, with one read from the device in
     *     each step. The times do not depend on the particles, so Ẑ stays unbiased if the transition is exact
     * @param listener hears of every step, and may cancel
     * @return tensors in the innermost open scope, without a gradient graph
     * @throws CancellationException if the listener cancels; no tensor is left then
     * @throws IllegalArgumentException if shapes, types, devices, labels or scales do not fit, or if a single step exceeds
     *     the budget
     * @throws BadScoreException if a score was NaN or positive infinity; known only at the end, as nothing is read back before
     */
    public ParticleResult run(SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener) {
        return run(noise, condition, budget, listener, System::nanoTime);
    }

    ParticleResult run(
            SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener, LongSupplier clock) {
        condition.guidance().ifPresent(scales -> InputValues.requireFinite("guidance", scales));
        Preconditions.checkNotNull(budget, "particle filter: the budget is null; for no limit, give Budget.NONE");
        int steps = affordable(budget, condition);
        ParticleFilter filter = steps == grid.steps()
                ? this
                : new ParticleFilter(potential, transition, grid.thinned(steps), particles, threshold, tempering);
        return filter.run(noise, condition, new Pace(filter.grid, budget, clock), listener);
    }

    /** Returns the most steps that the budget's evaluations pay for. */
    private int affordable(Budget budget, Condition condition) {
        long score = evaluations(0, condition);
        long step = evaluations(1, condition) - score;
        Preconditions.checkArgument(
                score + step <= budget.evaluations(),
                "particle filter: the budget is %s evaluations, but %s particles with one step cost %s: raise the"
                        + " budget, or use fewer particles or draws",
                budget.evaluations(),
                particles,
                score + step);
        return (int) Math.min(grid.steps(), (budget.evaluations() - score) / step);
    }

    private ParticleResult run(SteeringNoise noise, Condition condition, Pace pace, SamplingListener listener) {
        long begin = System.nanoTime();
        try (TensorScope scope = TensorScope.open();
                ScoreGuard guard = new ScoreGuard();
                Autograd.Mode off = Autograd.noGrad()) {
            // A copy, since the filter overwrites it.
            Tensor states = noise.normal(Use.START, 0).clone();
            long items = noise.uniform(Use.RESAMPLING, 0).numel();
            check(states, items, condition);
            Condition rows = condition.repeatInterleave(particles);
            Particles cloud = new Particles(this, states, items);
            int planned = grid.steps();
            while (!pace.isDone()) {
                if (listener.isCancelled()) {
                    throw new CancellationException(
                            "the particle filter was cancelled after " + pace.taken() + " of " + planned + " steps");
                }
                Pace.Step step = pace.next();
                planned = step.planned();
                try (TensorScope inner = TensorScope.open()) {
                    Point point = new Point(step.time(), step.number(), cloud.states(), rows, noise, guard);
                    Potential.Value value = potential.at(point);
                    cloud.weigh(step.number(), step.time(), value.scores());
                    Optional<Tensor> ancestors =
                            threshold == 0 ? Optional.empty() : Optional.of(cloud.resample(step.number(), noise));
                    Point chosen = new Point(step.time(), step.number(), cloud.states(), rows, noise, guard);
                    cloud.move(Moves.move(
                            transition,
                            chosen,
                            value.estimate().map(given -> Particles.carried(given, ancestors)),
                            step.end()));
                    if (pace.isTimed()) {
                        // Wait for the device: otherwise the time is that of the step's submission.
                        cloud.states().reshape(-1).narrow(0, 0, 1).item();
                    }
                }
                listener.stepDone(pace.taken(), planned);
            }
            int taken = pace.taken();
            Tilt tilt = potential.tilt();
            Tensor rewards = tilt.scoreWithoutAutocast(cloud.states(), rows);
            guard.record(tilt, taken, noise, rewards);
            guard.check();
            return cloud.result(taken, rewards.mul(tilt.strength()), noise, evaluations(taken, condition), begin)
                    .keptFrom(scope);
        }
    }

    private void check(Tensor states, long items, Condition condition) {
        Preconditions.checkArgument(
                states.size(0) == items * particles,
                "particle filter: the noise has %s rows for %s items, expected %s particles for each",
                states.size(0),
                items,
                particles);
        condition
                .labels()
                .ifPresent(labels -> Preconditions.checkArgument(
                        labels.numel() == items,
                        "particle filter: %s labels for %s items, expected one for each item, not for each particle",
                        labels.numel(),
                        items));
    }
}
