package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.BlockTape;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorException;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.Workers;
import org.metaflowmaps.steering.reward.Tilt;

/**
 * The value V_t(x) = log E[e^{λ·r(I_1)} | I_t = x] from one-step posterior draws: V̂_N = log Σ e^{λ·r_i} - log N
 * (method §6.2). Its bias is about -CV²/2N, where CV is the coefficient of variation of e^{λ·r}; e^V̂ is unbiased.
 *
 * <p>Draws are evaluated in chunks; the split changes only rounding. If memory does not suffice, the chunk size is
 * halved from then on.
 *
 * <p>Thread safety: any number of threads, if the map and the reward allow it.
 */
public final class ValueFunction {
    /** The fewest draws for a jackknife, see {@link #report}. */
    private static final int JACKKNIFE_DRAWS = 16;

    /** The kind of noise of the draws. */
    public enum Noise {
        /** Every draw has independent noise. */
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
     * @param bias the estimate -CV²/2N of V̂_N's bias: (rows), float64; NaN if no score is finite
     * @param jackknife N·V̂_N - (N - 1)·mean of V̂_{N-1} over all subsets, whose bias falls as 1/N²: (rows), float64;
     *     V̂_N if fewer than two scores are finite
     */
    public record Report(Tensor value, Tensor bias, Tensor jackknife) {}

    /** An action on some draws. */
    @FunctionalInterface
    interface Chunk {
        /** Processes draws from {@code first} on; its tensors are freed afterwards. */
        void take(int first, int count);
    }

    /**
     * Some draws and their scores.
     *
     * @param samples (rows · count, item shape)
     * @param scores λ·r: (rows, count), float64
     */
    record Part(Tensor samples, Tensor scores) {}

    private final MetaFlowMap map;
    private final Tilt tilt;
    private final int draws;
    private final Noise noise;
    private final AtomicInteger chunk;
    private final @Nullable PointGraphs graphs;

    /**
     * Makes a value function.
     *
     * @param map makes the draws; not owned. A {@link MetaFlowMap#frozen} one needs less memory for gradients
     * @param tilt scores them
     * @param draws N, at least 1; even for antithetic noise
     * @param noise of the draws
     * @param chunk draws of one row evaluated at once, at least 1
     * @throws IllegalArgumentException if an argument is out of range, or the map has no posteriors
     */
    public ValueFunction(MetaFlowMap map, Tilt tilt, int draws, Noise noise, int chunk) {
        Preconditions.checkArgument(
                map.isContextual(),
                "value function: this map works without contexts and has no posteriors: use one of layout "
                        + "meta-flow-map");
        Preconditions.checkNotNull(tilt, "value function: the tilt is null");
        Preconditions.checkArgument(draws >= 1, "value function: %s draws, expected at least 1", draws);
        Preconditions.checkArgument(
                noise == Noise.IID || draws % 2 == 0,
                "value function: %s draws of antithetic noise, expected an even number, because they form pairs",
                draws);
        Preconditions.checkArgument(chunk >= 1, "value function: chunk is %s, expected at least 1 draw at once", chunk);
        this.map = map;
        this.tilt = tilt;
        this.draws = draws;
        this.noise = Preconditions.checkNotNull(noise, "value function: the kind of noise is null");
        this.chunk = new AtomicInteger(chunk);
        this.graphs = null;
    }

    private ValueFunction(ValueFunction other, PointGraphs graphs) {
        this.map = other.map;
        this.tilt = other.tilt;
        this.draws = other.draws;
        this.noise = other.noise;
        this.chunk = other.chunk;
        this.graphs = Preconditions.checkNotNull(graphs, "value function: the graphs are null");
    }

    /** Makes a value function of independent draws, all evaluated at once if memory suffices. */
    public ValueFunction(MetaFlowMap map, Tilt tilt, int draws) {
        this(map, tilt, draws, Noise.IID, Math.max(1, draws));
    }

    /**
     * Returns this value function with draws and scores without gradient as CUDA graphs; for one with gradients see
     * {@link CapturedGradient}.
     *
     * @param graphs not owned; the result is for their thread only
     */
    public ValueFunction captured(PointGraphs graphs) {
        return new ValueFunction(this, graphs);
    }

    /** Returns the number N of draws. */
    public int draws() {
        return draws;
    }

    /** Returns the tilt that scores the draws. */
    public Tilt tilt() {
        return tilt;
    }

    /** Returns the current number of draws of a row evaluated at once. */
    public int chunk() {
        return chunk.get();
    }

    /**
     * Returns V̂_N at a point, without gradient.
     *
     * @return (rows), float64, in the innermost open scope; negative infinity if every score is
     */
    public Tensor at(Point point) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            return scope.keep(logMeanExp(scores(point)));
        }
    }

    /** Returns all draws at a point with their scores, without gradient, in the innermost open scope. */
    public Draws draws(Point point) {
        if (graphs == null) {
            return drawn(point);
        }
        List<Tensor> results = graphs.run(List.of(this, "draws"), point, own -> {
            Draws made = drawn(own);
            return List.of(made.samples(), made.scores());
        });
        return new Draws(results.get(0), results.get(1));
    }

    private Draws drawn(Point point) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor state = point.state();
            Tensor samples = Torch.empty(
                    state.dtype(), state.device(), state.shape().from(1).prepend(point.rows(), draws));
            Tensor scores = Torch.empty(DType.FLOAT64, state.device(), point.rows(), draws);
            inChunks((first, count) -> {
                Part part = part(point, first, count);
                Tensor place = samples.narrow(1, first, count);
                place.copy_(part.samples().reshape(place.shape()));
                scores.narrow(1, first, count).copy_(part.scores());
            });
            return new Draws(scope.keep(samples), scope.keep(scores));
        }
    }

    /**
     * Returns V̂_N with an estimate of its bias, and the jackknife estimate with most of the bias removed.
     *
     * @return tensors in the innermost open scope
     * @throws IllegalStateException for fewer than 16 draws, or antithetic ones, for which the jackknife is not valid
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

    /** Returns λ·r of all draws at a point, without gradient: (rows, N), float64, in the innermost open scope. */
    public Tensor scores(Point point) {
        return graphs == null
                ? scored(point)
                : graphs.run(List.of(this, "scores"), point, own -> List.of(scored(own)))
                        .getFirst();
    }

    private Tensor scored(Point point) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor all = Torch.empty(DType.FLOAT64, point.state().device(), point.rows(), draws);
            inChunks((first, count) ->
                    all.narrow(1, first, count).copy_(part(point, first, count).scores()));
            return scope.keep(all);
        }
    }

    /** Returns the log-mean-exp over draws: (rows, N) to (rows). */
    static Tensor logMeanExp(Tensor scores) {
        return scores.logsumexp(1).sub(Math.log((double) scores.size(1)));
    }

    /** Processes all draws, chunk by chunk. If memory does not suffice, retries a chunk with half its draws. */
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

    /** Repeats the states of a point for some draws of each row: (rows · count, item shape), a copy. */
    static Tensor repeated(Tensor state, int count) {
        return state.detach().repeatInterleave(count, 0);
    }

    /** Returns some draws and their scores, without graph; the caller turns recording off. */
    Part part(Point point, int first, int count) {
        Tensor states = repeated(point.state(), count);
        Condition condition = point.condition().repeatInterleave(count);
        Tensor samples = drawn(
                numbers(point, first, count).reshape(states.shape()),
                Context.unchecked(point.times(states.size(0)), states, condition));
        Tensor scores = score(tilt, point, samples, condition, count);
        return new Part(samples, scores.to(DType.FLOAT64).reshape(point.rows(), count));
    }

    /** Returns a posterior draw of each context by one flow-map step from noise. */
    private Tensor drawn(Tensor noise, Context context) {
        Tensor zeros = Torch.zerosLike(context.time());
        return map.flowMap(zeros, Torch.onesLike(zeros), noise, context);
    }

    /** Returns λ·r of samples with their graph, after recording bad scores in the point's guard. */
    static Tensor score(Tilt tilt, Point point, Tensor samples, Condition condition, int count) {
        Tensor score = tilt.score(samples, condition);
        record(tilt, point, score.detach().reshape(point.rows(), count));
        return score.mul(tilt.strength());
    }

    /** Records bad scores r, (rows, count), in the point's guard. */
    private static void record(Tilt tilt, Point point, Tensor perRow) {
        double strength = tilt.strength();
        point.record(ScoreGuard.Source.of(tilt), perRow);
        if (strength <= 0) {
            // Negative infinity is legal as a score, and not legal any more times this.
            String scaled = tilt.reward().name() + " times lambda = " + strength;
            point.record(ScoreGuard.Source.of(scaled), perRow.mul(strength));
        }
    }

    /**
     * Scores of some draws with their gradients.
     *
     * @param scores λ·r: (rows, count), float64
     * @param each the gradient of each score in the point's state: (rows · count, item shape)
     */
    record Gradients(Tensor scores, Tensor each) {}

    /**
     * Returns the scores of some draws and their gradients, without graph. On the CPU each thread of {@link Workers}
     * computes some of the draws, if the reward allows it.
     */
    Gradients gradients(Point point, int first, int count) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor states = repeated(point.state(), count);
            Tensor noise = numbers(point, first, count).reshape(states.shape());
            Condition condition = point.condition().repeatInterleave(count);
            long size = states.size(0);
            long parts = tilt.reward().isConcurrent() && states.device().type() == Device.Type.CPU
                    ? Math.min(Workers.count(), size)
                    : 1;
            List<Supplier<List<Tensor>>> tasks = new ArrayList<>();
            for (long i = 0; i < parts; i++) {
                long from = i * size / parts;
                long length = (i + 1) * size / parts - from;
                Tensor leaf = states.narrow(0, from, length).detach().requiresGrad_(true);
                Tensor start = noise.narrow(0, from, length);
                Context context = Context.unchecked(point.times(length), leaf, condition.slice(from, length));
                tasks.add(() -> differentiated(leaf, start, context));
            }
            List<List<Tensor>> found = Workers.map(tasks);
            Tensor scores = joined(found, 0);
            record(tilt, point, scores.reshape(point.rows(), count));
            Tensor scaled = scores.mul(tilt.strength()).to(DType.FLOAT64).reshape(point.rows(), count);
            return new Gradients(scope.keep(scaled), scope.keep(joined(found, 1)));
        }
    }

    /** Returns r of draws and the gradients of λ·r in their states. */
    private List<Tensor> differentiated(Tensor leaf, Tensor noise, Context context) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode on = Autograd.enableGrad();
                BlockTape tape = BlockTape.open()) {
            Tensor score = tilt.score(drawn(noise, context), context.condition());
            Tensor gradient = Differentiable.gradient(tape, tilt, score.mul(tilt.strength()), leaf);
            return List.of(scope.keep(score.detach()), scope.keep(gradient));
        }
    }

    private static Tensor joined(List<List<Tensor>> parts, int index) {
        return parts.size() == 1
                ? parts.getFirst().get(index).detach()
                : Torch.cat(0, parts.stream().map(part -> part.get(index)).toArray(Tensor[]::new));
    }

    /** Returns the noise of some draws: (rows, count, item shape). */
    private Tensor numbers(Point point, int first, int count) {
        Tensor given = noise == Noise.IID ? normal(point, first, count) : pairs(point, first, count);
        Tensor state = point.state();
        Preconditions.checkArgument(
                given.shape().equals(state.shape().from(1).prepend(point.rows(), count))
                        && given.dtype() == state.dtype(),
                "value function: the noise of %s draws is %s for states %s, expected (rows, draws, item shape) of"
                        + " their type",
                count,
                given,
                state);
        return given;
    }

    private static Tensor normal(Point point, int first, int count) {
        return point.normal(SteeringNoise.Use.DRAW, first, count);
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
