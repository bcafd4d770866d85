package org.metaflowmaps.training.loss;

import com.google.common.base.Preconditions;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;

/**
 * The input of a loss: a jump from s to u on the path between noise and data, with a context of the same data. Its
 * state and length are computed once, in the constructor, in the innermost open scope.
 */
public final class Pair {
    private final Tensor start;
    private final Tensor end;
    private final @Nullable Tensor fraction;
    private final Tensor noise;
    private final Tensor data;
    private final Context context;
    private final @Nullable Tensor weights;
    private final @Nullable Tensor alpha;
    private final Tensor state;
    private final Tensor length;

    /**
     * Makes a pair without α.
     *
     * @param start s: (B)
     * @param end u: (B), not before s; equal to s on the diagonal
     * @param fraction γ: (B) in [0, 1], the point between s and u where a loss splits the jump; null if unused
     * @param noise x̄_0: (B, ...)
     * @param data x_1: (B, ...)
     * @param context made from the same data, so that the regression is on the posterior (method §4.1)
     * @param weights factors of the items' losses: (B); null for 1
     */
    public Pair(
            Tensor start,
            Tensor end,
            @Nullable Tensor fraction,
            Tensor noise,
            Tensor data,
            Context context,
            @Nullable Tensor weights) {
        this(
                start,
                end,
                fraction,
                noise,
                data,
                context,
                weights,
                null,
                LinearInterpolant.state(noise, data, start),
                MetaFlowMap.perItem(end.sub(start), data));
    }

    /** Makes a pair with equal weights. */
    public Pair(Tensor start, Tensor end, @Nullable Tensor fraction, Tensor noise, Tensor data, Context context) {
        this(start, end, fraction, noise, data, context, null);
    }

    private Pair(
            Tensor start,
            Tensor end,
            @Nullable Tensor fraction,
            Tensor noise,
            Tensor data,
            Context context,
            @Nullable Tensor weights,
            @Nullable Tensor alpha,
            Tensor state,
            Tensor length) {
        this.start = start;
        this.end = end;
        this.fraction = fraction;
        this.noise = noise;
        this.data = data;
        this.context = context;
        this.weights = weights;
        this.alpha = alpha;
        this.state = state;
        this.length = length;
    }

    /**
     * Returns this pair with the α of {@link AlphaFlow}.
     *
     * @param alpha a scalar of the data's type and device, above 0 and below 1; not owned
     */
    public Pair withAlpha(Tensor alpha) {
        Preconditions.checkArgument(
                alpha.numel() == 1
                        && alpha.dtype() == data.dtype()
                        && alpha.device().equals(data.device()),
                "pair: alpha is %s, expected one %s on %s",
                alpha,
                data.dtype(),
                data.device());
        return new Pair(start, end, fraction, noise, data, context, weights, alpha, state, length);
    }

    /**
     * Returns some of the items, as views.
     *
     * @param from the first item, from 0
     * @param to the end of the range, exclusive
     * @throws IllegalArgumentException unless 0 ≤ from &lt; to ≤ {@link #items}
     */
    public Pair slice(long from, long to) {
        Preconditions.checkArgument(
                from >= 0 && from < to && to <= items(),
                "pair: items %s to %s, expected at least one of its %s",
                from,
                to,
                items());
        long count = to - from;
        return new Pair(
                start.narrow(0, from, count),
                end.narrow(0, from, count),
                fraction == null ? null : fraction.narrow(0, from, count),
                noise.narrow(0, from, count),
                data.narrow(0, from, count),
                context.slice(from, count),
                weights == null ? null : weights.narrow(0, from, count),
                alpha,
                state.narrow(0, from, count),
                length.narrow(0, from, count));
    }

    /**
     * Returns the pair of changed tensors, in a fixed order.
     *
     * @param change returns a tensor of the same shape and type for each
     */
    Pair map(UnaryOperator<Tensor> change) {
        return new Pair(
                change.apply(start),
                change.apply(end),
                fraction == null ? null : change.apply(fraction),
                change.apply(noise),
                change.apply(data),
                context.map(change),
                weights == null ? null : change.apply(weights),
                alpha == null ? null : change.apply(alpha),
                change.apply(state),
                change.apply(length));
    }

    /** Returns the number of items, B. */
    public long items() {
        return data.size(0);
    }

    /** s: (B). */
    public Tensor start() {
        return start;
    }

    /** u: (B). */
    public Tensor end() {
        return end;
    }

    /** γ: (B); null if no loss uses it. */
    public @Nullable Tensor fraction() {
        return fraction;
    }

    /** x̄_0: (B, ...). */
    public Tensor noise() {
        return noise;
    }

    /** x_1: (B, ...). */
    public Tensor data() {
        return data;
    }

    /** Returns the context of each item. */
    public Context context() {
        return context;
    }

    /** Returns the factor of each item's loss: (B); null for 1. */
    public @Nullable Tensor weights() {
        return weights;
    }

    /** α of {@link AlphaFlow}, a scalar; null if no loss uses it. */
    public @Nullable Tensor alpha() {
        return alpha;
    }

    /** x̄ = (1 - s)·x̄_0 + s·x_1. */
    public Tensor state() {
        return state;
    }

    /** u - s, shaped to multiply items: (B, 1, ...). */
    public Tensor length() {
        return length;
    }

    /** x_1 - x̄_0. */
    public Tensor velocity() {
        return LinearInterpolant.velocity(noise, data);
    }

    /** Returns the regression of a prediction and a target with this pair's weights. */
    Regression compare(Tensor prediction, Tensor target) {
        return new Regression(prediction, target, weights);
    }
}
