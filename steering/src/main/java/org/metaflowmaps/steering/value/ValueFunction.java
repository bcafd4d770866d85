package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import java.util.concurrent.atomic.AtomicInteger;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorException;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Tilt;

/**
 * The value V_t(x) = log E[e^{λ·r(I_1)} | I_t = x] from one-step posterior draws: V̂_N = log Σ e^{λ·r_i} - log N (method §6.2). It is too
 * small by about CV²/2N on average, where CV is the coefficient of variation of e^{λ·r}; e^V̂ is unbiased.
 *
 * <p>Draws are evaluated some at once; the split changes nothing beyond rounding. When memory is short, half as many are evaluated at
 * once from then on.
 *
 * <p>Thread safety: any number of threads, as the map and the reward allow.
 */
public final class ValueFunction {
    /** The fewest draws for a jackknife, see {@link #report}. */
    private static final int JACKKNIFE_DRAWS = 16;

    /** The noise of the draws. */
    public enum Noise {
        /** Every draw has its own. */
        IID,
        /** Draws 2k and 2k + 1 have ε and -ε. */
        ANTITHETIC
    }

    /**
     * Posterior draws with their scores.
     *
     * @param samples x̂₁: (rows, N, item shape)
     * @param scores λ·r: (rows, N), float64
     */
    public record Draws(Tensor samples, Tensor scores) {}

    /**
     * An estimate of the value with its error, for reports.
     *
     * @param value V̂_N: (rows), float64
     * @param bias the estimate -CV²/2N of V̂_N's bias: (rows), float64; NaN where no score is finite
     * @param jackknife N·V̂_N - (N - 1)·mean of V̂_{N-1} over all subsets, whose bias falls as 1/N²: (rows), float64; V̂_N where fewer
     *     than two scores are finite
     */
    public record Report(Tensor value, Tensor bias, Tensor jackknife) {}

    /** What is done with some draws. */
    @FunctionalInterface
    interface Chunk {
        /** Takes draws from {@code first} on; the tensors it makes are freed after it. */
        void take(int first, int count);
    }

    /**
     * Some draws and their scores.
     *
     * @param samples (rows · count, item shape)
     * @param reward λ·r: (rows · count), with the samples' graph
     * @param scores λ·r: (rows, count), float64, without graph
     */
    record Part(Tensor samples, Tensor reward, Tensor scores) {}

    private final MetaFlowMap map;
    private final Tilt tilt;
    private final int draws;
    private final Noise noise;
    private final AtomicInteger chunk;

    /**
     * A value function.
     *
     * @param map gives the draws; not owned. A {@link MetaFlowMap#frozen} one needs less memory for gradients
     * @param tilt scores them
     * @param draws N, at least 1; even for antithetic noise
     * @param noise of the draws
     * @param chunk draws of one row that are evaluated at once, at least 1
     * @throws IllegalArgumentException if one of these is out of its range, or the map knows no posteriors
     */
    public ValueFunction(MetaFlowMap map, Tilt tilt, int draws, Noise noise, int chunk) {
        Preconditions.checkArgument(
                map.isContextual(),
                "value function: this map is one of a flow, without contexts, and knows no posteriors: a meta flow map is "
                        + "needed (layout meta-flow-map)");
        Preconditions.checkNotNull(tilt, "value function: the tilt is null");
        Preconditions.checkArgument(draws >= 1, "value function: %s draws, expected at least 1", draws);
        Preconditions.checkArgument(
                noise == Noise.IID || draws % 2 == 0,
                "value function: %s draws of antithetic noise, expected an even number, since they come in pairs",
                draws);
        Preconditions.checkArgument(chunk >= 1, "value function: chunk is %s, expected at least 1 draw at once", chunk);
        this.map = map;
        this.tilt = tilt;
        this.draws = draws;
        this.noise = Preconditions.checkNotNull(noise, "value function: the kind of noise is null");
        this.chunk = new AtomicInteger(chunk);
    }

    /** A value function of independent draws, all evaluated at once while memory suffices. */
    public ValueFunction(MetaFlowMap map, Tilt tilt, int draws) {
        this(map, tilt, draws, Noise.IID, Math.max(1, draws));
    }

    /** Returns the number N of draws. */
    public int draws() {
        return draws;
    }

    /** Returns what scores the draws. */
    public Tilt tilt() {
        return tilt;
    }

    /** Returns how many draws of a row are evaluated at once by now. */
    public int chunk() {
        return chunk.get();
    }

    /**
     * V̂_N at a point, without gradient.
     *
     * @return (rows), float64, in the innermost open scope; negative infinity where every score is
     */
    public Tensor at(Point point) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            return scope.keep(logMeanExp(scores(point)));
        }
    }

    /** All draws at a point with their scores, without gradient, in the innermost open scope. */
    public Draws draws(Point point) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor state = point.state();
            Tensor samples = Torch.empty(
                    state.dtype(), state.device(), state.shape().from(1).prepend(point.rows(), draws));
            Tensor scores = Torch.empty(DType.FLOAT64, state.device(), point.rows(), draws);
            inChunks((first, count) -> {
                Part part = part(point, repeated(state, count), first, count);
                Tensor place = samples.narrow(1, first, count);
                place.copy_(part.samples().reshape(place.shape()));
                scores.narrow(1, first, count).copy_(part.scores());
            });
            return new Draws(scope.keep(samples), scope.keep(scores));
        }
    }

    /**
     * V̂_N with an estimate of its bias, and the jackknife that removes most of it.
     *
     * @return tensors in the innermost open scope
     * @throws IllegalStateException for fewer than 16 draws, or antithetic ones, whose subsets say nothing of N
     */
    public Report report(Point point) {
        Preconditions.checkState(
                noise == Noise.IID && draws >= JACKKNIFE_DRAWS,
                "value report: %s draws of %s noise, expected at least %s of iid noise",
                draws,
                noise,
                JACKKNIFE_DRAWS);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor scores = scores(point);
            return new Report(
                    scope.keep(logMeanExp(scores)),
                    scope.keep(Jackknife.bias(scores)),
                    scope.keep(Jackknife.value(scores)));
        }
    }

    /** All scores: (rows, N), float64. */
    private Tensor scores(Point point) {
        Tensor all = Torch.empty(DType.FLOAT64, point.state().device(), point.rows(), draws);
        inChunks((first, count) -> all.narrow(1, first, count)
                .copy_(part(point, repeated(point.state(), count), first, count)
                        .scores()));
        return all;
    }

    /** log-mean-exp over draws: (rows, N) to (rows). */
    static Tensor logMeanExp(Tensor scores) {
        return scores.logsumexp(1).sub(Math.log((double) scores.size(1)));
    }

    /** Does something with all draws, chunk by chunk. When memory is short, a chunk is tried again with half its draws. */
    void inChunks(Chunk body) {
        for (int first = 0; first < draws; ) {
            int count = Math.min(chunk.get(), draws - first);
            try (TensorScope scope = TensorScope.open()) {
                body.take(first, count);
                first += count;
            } catch (TensorException e) {
                if (!e.isOutOfMemory() || count == 1) {
                    throw e;
                }
                chunk.accumulateAndGet(count / 2, Math::min);
            }
        }
    }

    /** The states of a point for some draws of each row: (rows · count, item shape), a copy. */
    static Tensor repeated(Tensor state, int count) {
        return state.detach().repeatInterleave(count, 0);
    }

    /**
     * Some draws and their scores; with a graph where gradients are recorded and the states ask for them.
     *
     * @param states of the point, repeated for the draws
     */
    Part part(Point point, Tensor states, int first, int count) {
        Condition condition = point.condition().repeatInterleave(count);
        long size = states.size(0);
        Tensor times = point.times(size);
        Tensor start = Torch.zerosLike(times);
        Tensor samples = map.flowMap(
                start,
                Torch.onesLike(times),
                numbers(point, first, count).reshape(states.shape()),
                Context.unchecked(times, states, condition));
        Tensor reward = score(tilt, point, samples, condition, count);
        Tensor scores = reward.detach().to(DType.FLOAT64).reshape(point.rows(), count);
        return new Part(samples, reward, scores);
    }

    /** λ·r of samples, looked at by the point's guard; with their graph. */
    static Tensor score(Tilt tilt, Point point, Tensor samples, Condition condition, int count) {
        Tensor score = tilt.score(samples, condition);
        Tensor perRow = score.detach().reshape(point.rows(), count);
        String name = tilt.reward().name();
        double strength = tilt.strength();
        point.guard().record(name, point.step(), point.noise(), perRow);
        if (strength <= 0) {
            // Negative infinity is legal as a score, and not legal any more times this.
            String scaled = name + " times lambda = " + strength;
            point.guard().record(scaled, point.step(), point.noise(), perRow.mul(strength));
        }
        return score.mul(strength);
    }

    /** The noise of some draws: (rows, count, item shape). */
    private Tensor numbers(Point point, int first, int count) {
        Tensor given = noise == Noise.IID ? normal(point, first, count) : pairs(point, first, count);
        Tensor state = point.state();
        Preconditions.checkArgument(
                given.shape().equals(state.shape().from(1).prepend(point.rows(), count))
                        && given.dtype() == state.dtype(),
                "value function: the noise of %s draws is %s for states %s, expected (rows, draws, item shape) of their type",
                count,
                given,
                state);
        return given;
    }

    private static Tensor normal(Point point, int first, int count) {
        return point.noise().normal(SteeringNoise.Use.DRAW, point.step(), first, count);
    }

    private static Tensor pairs(Point point, int first, int count) {
        int pair = first / 2;
        int pairs = (first + count - 1) / 2 - pair + 1;
        Tensor half = normal(point, pair, pairs);
        Tensor both = Torch.stack(2, half, half.neg())
                .reshape(point.state().shape().from(1).prepend(point.rows(), 2L * pairs));
        return both.narrow(1, first - 2L * pair, count);
    }
}
