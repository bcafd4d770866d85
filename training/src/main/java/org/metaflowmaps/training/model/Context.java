package org.metaflowmaps.training.model;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * What a meta flow map is conditioned on: the posterior of clean data given a noisy state. It is passive, it never has tangents.
 *
 * @param time t, the noise level of the state: (B) in [0, 1], 0 is pure noise; the state then carries no information
 * @param state x_t: (B, ...), the item shape of the map
 * @param labels class of each item: (B) int64, the number of classes for "no label"; null for no labels at all
 * @param guidance amortised guidance scale w of each item: (B); null for 1 throughout
 */
public record Context(Tensor time, Tensor state, @Nullable Tensor labels, @Nullable Tensor guidance) {
    /** A context without labels or guidance. */
    public Context(Tensor time, Tensor state) {
        this(time, state, null, null);
    }

    /** The context that says nothing: t = 0 and a zero state, for states like {@code state}. */
    public static Context unconditional(Tensor state, @Nullable Tensor labels, @Nullable Tensor guidance) {
        return new Context(Torch.zeros(state.dtype(), state.device(), state.size(0)), Torch.zerosLike(state), labels, guidance);
    }

    /** This context for items with other labels and guidance scales. */
    public Context with(@Nullable Tensor otherLabels, @Nullable Tensor otherGuidance) {
        return new Context(time, state, otherLabels, otherGuidance);
    }

    /** Each item so many times in a row: a batch of B becomes one of B·times. */
    public Context repeatInterleave(long times) {
        return new Context(time.repeatInterleave(times, 0), state.repeatInterleave(times, 0),
                labels == null ? null : labels.repeatInterleave(times, 0),
                guidance == null ? null : guidance.repeatInterleave(times, 0));
    }

    /** The context of the first items of the batch. */
    public Context first(long count) {
        return new Context(time.narrow(0, 0, count), state.narrow(0, 0, count), labels == null ? null : labels.narrow(0, 0, count),
                guidance == null ? null : guidance.narrow(0, 0, count));
    }
}
