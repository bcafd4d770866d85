package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import java.util.Optional;
import java.util.concurrent.CancellationException;
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
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.ScoreGuard;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.SteeringNoise.Use;

/**
 * Sequential Monte Carlo for the law that a reward tilts (method §8.1): particles move from noise to data, are weighted by ratios of
 * potentials, and resampled where few of them carry the weight. It is exact for any number of posterior draws: the mean of Ẑ is the
 * normaliser E[e^{λ·r(I_1)}], if the transition is exact. Several items are filtered at once, each by itself.
 *
 * <p>A particle whose draws all score negative infinity has weight 0 from then on. If the reward allows what such a particle might still
 * become, Ẑ is too small on average: use more draws then.
 *
 * <p>Nothing is read back from the device during a step, unless the map or the reward does.
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
        Coefficient memoryless = new Coefficient(Double.POSITIVE_INFINITY);
        return new ParticleFilter(
                Potential.twisted(drift, tilt, memoryless),
                new Transition.Guided(memoryless),
                grid,
                particles,
                threshold);
    }

    /** Returns the evaluations of one item, all its particles together, by the paper's counting (method §8.4). */
    public long evaluations(Condition condition) {
        long move = switch (transition) {
            case Transition.PosteriorDraw draw -> 1;
            case Transition.EulerMaruyama euler -> euler.drift().evaluations(condition);
            case Transition.Guided guided -> 0;
        };
        return particles * (grid.steps() * (potential.evaluations(condition) + move) + 1);
    }

    /** Filters without a listener: see {@link #run(SteeringNoise, Condition, SamplingListener)}. */
    public ParticleResult run(SteeringNoise noise, Condition condition) {
        return run(noise, condition, SamplingListener.NONE);
    }

    /**
     * Filters each item of the noise.
     *
     * @param noise of the items, with this filter's number of particles
     * @param condition labels and guidance scales of the items, one for each
     * @param listener hears of every step, and may cancel
     * @return tensors in the innermost open scope, without a gradient graph
     * @throws CancellationException if the listener cancels; no tensor is left then
     * @throws IllegalArgumentException if shapes, types, devices, labels or scales do not fit
     * @throws BadScoreException if a score was NaN or positive infinity; known only at the end, as nothing is read back before
     */
    public ParticleResult run(SteeringNoise noise, Condition condition, SamplingListener listener) {
        long begin = System.nanoTime();
        int steps = grid.steps();
        condition.guidance().ifPresent(scales -> InputValues.requireFinite("guidance", scales));
        try (TensorScope scope = TensorScope.open();
                ScoreGuard guard = new ScoreGuard();
                Autograd.Mode off = Autograd.noGrad()) {
            // A copy, since the filter overwrites it.
            Tensor states = noise.normal(Use.START, 0).clone();
            long items = noise.uniform(Use.RESAMPLING, 0).numel();
            check(states, items, condition);
            Condition rows = condition.repeatInterleave(particles);
            Particles cloud = new Particles(this, states, items);
            for (int step = 0; step < steps; step++) {
                if (listener.isCancelled()) {
                    throw new CancellationException(
                            "the particle filter was cancelled after " + step + " of " + steps + " steps");
                }
                try (TensorScope inner = TensorScope.open()) {
                    Point point = new Point(grid.time(step), step, cloud.states(), rows, noise, guard);
                    Potential.Value value = potential.at(point);
                    cloud.weigh(step, value.scores());
                    Optional<Tensor> ancestors =
                            threshold == 0 ? Optional.empty() : Optional.of(cloud.resample(step, noise));
                    Point chosen = new Point(grid.time(step), step, cloud.states(), rows, noise, guard);
                    cloud.move(Moves.move(
                            transition,
                            chosen,
                            value.estimate().map(given -> Particles.carried(given, ancestors)),
                            grid.time(step + 1)));
                }
                listener.stepDone(step + 1, steps);
            }
            Tilt tilt = potential.tilt();
            Tensor rewards = tilt.score(cloud.states(), rows);
            guard.record(tilt.reward().name(), steps, noise, rewards);
            guard.check();
            return cloud.result(rewards.mul(tilt.strength()), noise, evaluations(condition), begin)
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
