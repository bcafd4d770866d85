package org.metaflowmaps.training.loss;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;

/**
 * One draw to train on: a jump from s to u on the path between noise and data, inside a context of the same data.
 *
 * @param start s: (B)
 * @param end u: (B), not before s; equal to s on the diagonal
 * @param fraction γ: (B) in [0, 1], where between s and u a loss splits the jump; null where none is used
 * @param noise x̄_0: (B, ...)
 * @param data x_1: (B, ...)
 * @param context made from the same data, which is what makes the regression one on the posterior (§4.1 of the method)
 * @param weights what each item's loss is multiplied by: (B); null for 1
 */
public record Pair(Tensor start, Tensor end, @Nullable Tensor fraction, Tensor noise, Tensor data, Context context,
        @Nullable Tensor weights) {
    /** Items that all count alike. */
    public Pair(Tensor start, Tensor end, @Nullable Tensor fraction, Tensor noise, Tensor data, Context context) {
        this(start, end, fraction, noise, data, context, null);
    }

    /** x̄ = (1 - s)·x̄_0 + s·x_1. */
    public Tensor state() {
        return LinearInterpolant.state(noise, data, start);
    }

    /** x_1 - x̄_0. */
    public Tensor velocity() {
        return LinearInterpolant.velocity(noise, data);
    }

    /** u - s, shaped to multiply items: (B, 1, ...). */
    public Tensor length() {
        return MetaFlowMap.perItem(end.sub(start), data);
    }
}
