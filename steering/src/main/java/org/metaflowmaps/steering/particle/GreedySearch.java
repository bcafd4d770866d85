package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import java.util.concurrent.CancellationException;
import java.util.function.LongSupplier;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.InputValues;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.value.BadScoreException;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.ScoreGuard;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.SteeringNoise.Use;
import org.metaflowmaps.steering.value.ValueFunction;

/**
 * MFM-Search, which maximises a reward without gradients (paper, Algorithm 4; method §8.2): at every time the best of a
 * few one-step posterior draws is noised again to the next time. Its samples do not have the tilted law. Several items
 * are searched at once, independently of each other.
 *
 * <p>A step reads nothing back from the device unless the reward does or the budget has a time.
 *
 * <p>Thread safety: immutable; several threads may search at once, each with its own noise.
 *
 * @param value makes the N draws of each particle and scores them. Its strength λ must be above 0 and has no other
 *     effect
 * @param grid the times of the draws
 * @param particles M of each item, at least 1
 * @param resampling which draws are continued
 * @param renoising how they are noised again
 */
public record GreedySearch(
        ValueFunction value, TimeGrid grid, int particles, Resampling resampling, Renoising renoising) {
    private static final String WHAT = "greedy search";

    /** Which draws are continued. */
    public enum Resampling {
        /** All particles of an item continue its best draw. */
        MAX_OVERALL,
        /** Each particle continues its own best draw. */
        MAX_PER_PARTICLE
    }

    /** How a draw x̂₁ at time t is noised to the next time t'. */
    public enum Renoising {
        /** x = t'·x̂₁ + (1 - t')·ε with fresh noise ε for each particle. */
        STOCHASTIC,
        /**
         * The same with the noise ε = (x_t - t·x̂₁)/(1 - t) of the state x_t that the draw is from. After
         * {@link Resampling#MAX_OVERALL} all particles of an item are then equal.
         */
        DETERMINISTIC
    }

    /**
     * The particles and the best of each item, in the scope that was innermost when they were searched.
     *
     * @param samples the best final particle of each item: (items, item shape)
     * @param scores r of {@code samples}, without λ: (items), float64
     * @param particles all final particles, those of an item consecutive: (items · M, item shape). If the search ended
     *     early, the clean draws of its last step
     * @param particleScores r of {@code particles}: (items, M), float64
     * @param spent the cost per item
     */
    public record Result(Tensor samples, Tensor scores, Tensor particles, Tensor particleScores, Spent spent) {}

    /** Checks the ranges. */
    public GreedySearch {
        double strength = value.tilt().strength();
        Preconditions.checkArgument(
                strength > 0,
                "%s: lambda is %s, expected more than 0, because the search maximises the reward; to minimise it, give "
                        + "its negative",
                WHAT,
                strength);
        Preconditions.checkNotNull(grid, "%s: the grid is null", WHAT);
        Preconditions.checkArgument(particles >= 1, "%s: %s particles, expected at least 1", WHAT, particles);
        Preconditions.checkNotNull(resampling, "%s: the resampling is null", WHAT);
        Preconditions.checkNotNull(renoising, "%s: the renoising is null", WHAT);
    }

    /**
     * The paper's settings: 250 steps, denser near noise; 8 particles; the best draw of all, noised freshly. The paper has
     * 4 draws per particle.
     */
    public GreedySearch(ValueFunction value) {
        this(value, paperGrid(250), 8, Resampling.MAX_OVERALL, Renoising.STOCHASTIC);
    }

    /** Returns the paper's grid, {@code linspace(0.01, 1, steps + 1)} to the power 2.5. */
    public static TimeGrid paperGrid(int steps) {
        return TimeGrid.linspace(0.01, steps).power(2.5);
    }

    /** Returns the evaluations of one item, 2·M·N·K (method §8.4). */
    public long evaluations() {
        return grid.steps() * stepCost();
    }

    private long stepCost() {
        return 2L * particles * value.draws();
    }

    /** Searches without a limit and without a listener. */
    public Result run(SteeringNoise noise, Condition condition) {
        return run(noise, condition, Budget.NONE, SamplingListener.NONE);
    }

    /**
     * Searches for each item of the noise.
     *
     * @param noise of the items, with this search's number of particles
     * @param condition labels and guidance scales of the items, one for each
     * @param budget where it ends the search, the result has the best draws of the last step
     * @param listener called after every step; if it cancels, the result has the best draws so far
     * @return tensors in the innermost open scope, without a gradient graph
     * @throws CancellationException if the listener cancels before the first step
     * @throws IllegalArgumentException if shapes, types, devices, labels or scales do not fit, or if the first step
     *     exceeds the budget
     * @throws BadScoreException if a score was NaN or positive infinity; thrown only at the end, because nothing is
     *     read back before
     */
    public Result run(SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener) {
        return run(noise, condition, budget, listener, System::nanoTime);
    }

    Result run(SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener, LongSupplier clock) {
        Meter meter = new Meter(WHAT, budget, listener, clock);
        int steps = grid.steps();
        condition.guidance().ifPresent(scales -> InputValues.requireFinite("guidance", scales));
        try (TensorScope scope = TensorScope.open();
                ScoreGuard guard = new ScoreGuard();
                Autograd.Mode off = Autograd.noGrad()) {
            // Copied because the search overwrites it.
            Tensor states = noise.normal(Use.START, 0).clone();
            long items = Meter.items(WHAT, noise, states, particles, condition);
            Condition rows = condition.repeatInterleave(particles);
            Tensor clean = Torch.zerosLike(states);
            Tensor scores = Torch.empty(DType.FLOAT64, states.device(), items, particles);
            for (int step = 0; step < steps && meter.take(stepCost()); step++) {
                try (TensorScope inner = TensorScope.open()) {
                    Point point = new Point(grid.time(step), step, states, rows, noise, guard);
                    Tensor chosen = choose(value.draws(point), clean, scores);
                    if (step + 1 < steps) {
                        states.copy_(renoised(point, clean, chosen, grid.time(step + 1)));
                    }
                }
                if (budget.isTimed()) {
                    // Wait for the device: otherwise the time is that of the step's submission.
                    guard.check();
                }
                listener.stepDone(step + 1, steps);
            }
            guard.check();
            scores.div_(value.tilt().strength());
            Tensor best = scores.argmax(1).unsqueeze(1);
            return new Result(
                    scope.keep(clean.indexSelect(0, flat(best, particles))),
                    scope.keep(scores.gather(1, best).squeeze(1)),
                    scope.keep(clean),
                    scope.keep(scores),
                    meter.spent());
        }
    }

    /**
     * Copies the best draws and their scores to {@code clean} and {@code scores}.
     *
     * @return the draw that each row continues, an index of all rows' draws: (rows), int64
     */
    private Tensor choose(ValueFunction.Draws draws, Tensor clean, Tensor scores) {
        long rows = clean.size(0);
        boolean overall = resampling == Resampling.MAX_OVERALL;
        Tensor groups = overall ? draws.scores().reshape(rows / particles, -1) : draws.scores();
        Tensor best = groups.argmax(1).unsqueeze(1);
        Tensor chosen = flat(best, groups.size(1));
        if (overall) {
            chosen = chosen.repeatInterleave(particles, 0);
        }
        clean.copy_(draws.samples()
                .reshape(clean.shape().from(1).prepend(rows * draws.scores().size(1)))
                .indexSelect(0, chosen));
        scores.copy_(draws.scores().reshape(-1).indexSelect(0, chosen).reshape(scores.shape()));
        return chosen;
    }

    private Tensor renoised(Point point, Tensor clean, Tensor chosen, double next) {
        Tensor noise = switch (renoising) {
            case STOCHASTIC -> point.noise().normal(Use.TRANSITION, point.step());
            case DETERMINISTIC -> {
                Tensor parents =
                        chosen.to(DType.FLOAT64).div(value.draws()).floor().to(chosen.dtype());
                yield point.state()
                        .indexSelect(0, parents)
                        .sub(clean.mul(point.time()))
                        .div(1 - point.time());
            }
        };
        return clean.mul(next).add(noise.mul(1 - next));
    }

    /** Returns row indices of group indices: (groups, n) numbers in groups of a size to (groups · n). */
    static Tensor flat(Tensor numbers, long size) {
        Tensor first = Torch.arange(numbers.size(0), numbers.device())
                .mul((double) size)
                .to(numbers.dtype());
        return numbers.add(first.unsqueeze(1)).reshape(-1);
    }
}
