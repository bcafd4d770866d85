package org.metaflowmaps.steering.particle;

import java.time.Duration;
import java.util.Optional;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.SteeringNoise.Use;
import org.metaflowmaps.steering.value.ValueGradient;

/**
 * The particles of some items during a run. Tensors that last are overwritten in place; the caller's scope owns them. Decisions are made
 * for each item by masks, so that an item does not depend on its neighbours and the host need not wait.
 */
final class Particles {
    /** A step of 2⁻³⁰ in the factor moves no weight that matters. */
    private static final int HALVINGS = 30;

    private final ParticleFilter filter;
    private final long items;
    private final long count;
    private final Tensor states;
    /** Weights since the last resampling, not normalised: (items, M). */
    private final Tensor logWeights;
    /** log ψ̂ of the last step as it was computed then; another estimate in its place would bias Ẑ (method §8.1). */
    private final Tensor stored;
    /** log of the weights' means that resamplings removed: (items). */
    private final Tensor logNormaliser;
    /** Which particle of time 0 each descends from: (items, M). */
    private final Tensor origin;

    private final Tensor factor;
    private final Tensor effectiveSize;
    private final Tensor ancestors;
    private final Tensor factors;

    Particles(ParticleFilter filter, Tensor states, long items) {
        int steps = filter.grid().steps();
        Device device = states.device();
        this.filter = filter;
        this.items = items;
        this.count = filter.particles();
        this.states = states;
        this.logWeights = Torch.zeros(DType.FLOAT64, device, items, count);
        this.stored = Torch.zerosLike(logWeights);
        this.logNormaliser = Torch.zeros(DType.FLOAT64, device, items);
        this.factor = Torch.zerosLike(logNormaliser);
        this.effectiveSize = Torch.zeros(DType.FLOAT64, device, steps + 1L, items);
        this.factors = Torch.zerosLike(effectiveSize);
        this.ancestors = Torch.arange(count, device).expand(steps, items, count).contiguous();
        this.origin = ancestors.select(0, 0).clone();
    }

    /** Returns the states: (rows, item shape). They are overwritten by the next step. */
    Tensor states() {
        return states;
    }

    /** Multiplies the weights by the potential of this step, at a time, over that of the step before. */
    void weigh(int step, double time, Tensor scores) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor draws = scores.reshape(items, count, -1);
            switch (filter.tempering()) {
                case Tempering.Fixed fixed -> factor.fill_(fixed(fixed, time));
                case Tempering.Adaptive adaptive -> factor.copy_(adaptive(adaptive, time, draws));
            }
            Tensor potential = potential(draws, factor);
            logWeights.copy_(weighted(potential));
            stored.copy_(potential);
            factors.select(0, step).copy_(factor);
            effectiveSize.select(0, step).copy_(Weights.effectiveSize(logWeights));
        }
    }

    private static double fixed(Tempering.Fixed tempering, double time) {
        double given = time == 1 ? 1 : tempering.factor().applyAsDouble(time);
        if (!(given >= 0 && Double.isFinite(given))) {
            throw new IllegalArgumentException("tempering: the factor at time " + time + " is " + given
                    + ", expected a finite number of 0 or more");
        }
        return given;
    }

    /** Returns the largest factor that leaves enough particles, by bisection: (items). */
    private Tensor adaptive(Tempering.Adaptive tempering, double time, Tensor draws) {
        Tensor most = Torch.onesLike(factor);
        if (time == 1) {
            return most;
        }
        double least = tempering.share() * count;
        Tensor enough = Weights.effectiveSize(weighted(potential(draws, most))).ge(least);
        Tensor low = factor;
        Tensor high = most;
        for (int i = 0; i < HALVINGS; i++) {
            Tensor middle = low.add(high).mul(0.5);
            Tensor fits =
                    Weights.effectiveSize(weighted(potential(draws, middle))).ge(least);
            low = Torch.where(fits, middle, low);
            high = Torch.where(fits, high, middle);
        }
        return Torch.where(enough, most, low);
    }

    /** Returns the log-mean-exp of scores (items, M, N) with each item's factor: (items, M). */
    private static Tensor potential(Tensor scores, Tensor factor) {
        // 0·(-∞) would be NaN.
        Tensor scaled = scores.mul(factor.reshape(-1, 1, 1))
                .maskedFill(scores.eq(Double.NEGATIVE_INFINITY), Double.NEGATIVE_INFINITY);
        return scaled.logsumexp(2).sub(Math.log((double) scores.size(2)));
    }

    /** Returns the weights with a potential in place of the stored one. A weight of 0 stays so, where the ratio would be 0/0. */
    private Tensor weighted(Tensor potential) {
        return logWeights
                .add(potential.sub(stored))
                .maskedFill(stored.eq(Double.NEGATIVE_INFINITY), Double.NEGATIVE_INFINITY);
    }

    /**
     * Resamples the items whose effective sample size is too small.
     *
     * @return rows that continue: (rows), int64, in the innermost open scope
     */
    Tensor resample(int step, SteeringNoise noise) {
        try (TensorScope scope = TensorScope.open()) {
            double limit = filter.threshold() == 1 ? Double.POSITIVE_INFINITY : filter.threshold() * count;
            // Items without any weight keep their particles.
            Tensor size = effectiveSize.select(0, step);
            Tensor few = size.maskedFill(size.eq(0), Double.POSITIVE_INFINITY).lt(limit);
            Tensor mask = few.unsqueeze(1);
            Tensor place = ancestors.select(0, step);
            place.copy_(Torch.where(mask, Weights.systematic(logWeights, noise.uniform(Use.RESAMPLING, step)), place));
            Tensor mean = logWeights.logsumexp(1).sub(Math.log((double) count));
            logNormaliser.add_(Torch.where(few, mean, Torch.zerosLike(mean)));
            logWeights.copy_(Torch.where(mask, Torch.zerosLike(logWeights), logWeights));
            stored.copy_(stored.gather(1, place));
            origin.copy_(origin.gather(1, place));
            Tensor rows = ParticleResult.flat(place, count);
            states.copy_(states.indexSelect(0, rows));
            return scope.keep(rows);
        }
    }

    /** Returns the drifts of the particles that continue. */
    static ValueGradient.Estimate carried(ValueGradient.Estimate estimate, Optional<Tensor> rows) {
        return rows.map(index -> new ValueGradient.Estimate(
                        estimate.base().indexSelect(0, index),
                        estimate.correction().indexSelect(0, index),
                        Optional.empty()))
                .orElse(estimate);
    }

    /** Takes the states at the next time, and the ratio of transitions into the weights. */
    void move(Moves.Move move) {
        states.copy_(move.states());
        move.logRatio().ifPresent(ratio -> logWeights.add_(ratio.reshape(items, count)));
    }

    /** Weighs by the last potential, after some steps, and draws. */
    ParticleResult result(int steps, Tensor scores, SteeringNoise noise, long evaluations, long begin) {
        Tensor wide = scores.to(DType.FLOAT64).reshape(items, count);
        weigh(steps, 1, wide);
        Tensor mean = logWeights.logsumexp(1).sub(Math.log((double) count));
        Tensor normalised = Weights.normalised(logWeights);
        Tensor number = Weights.one(normalised, noise.uniform(Use.RESAMPLING, steps));
        return new ParticleResult(
                ParticleResult.picked(states, number.unsqueeze(1)),
                states,
                normalised,
                wide,
                first(effectiveSize, steps + 1),
                first(ancestors, steps),
                Weights.distinct(origin),
                logNormaliser.add(mean),
                first(factors, steps + 1),
                evaluations,
                Duration.ofNanos(System.nanoTime() - begin));
    }

    /** Returns the records of the steps that were taken. */
    private static Tensor first(Tensor records, int count) {
        return count == records.size(0) ? records : records.narrow(0, 0, count);
    }
}
