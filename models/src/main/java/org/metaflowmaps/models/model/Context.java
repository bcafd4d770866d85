package org.metaflowmaps.models.model;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * What a meta flow map is conditioned on: the posterior of clean data given a noisy state. It is passive, it never has tangents.
 *
 * <p>The constructor reads times and guidance scales back to check them, and a map then checks labels and flow times at every call.
 * {@link #unchecked} avoids these reads, which a GPU would have to wait for.
 */
public final class Context {
    private final Tensor time;
    private final Tensor state;
    private final @Nullable Tensor labels;
    private final @Nullable Tensor guidance;
    private final boolean checked;

    private Context(Tensor time, Tensor state, @Nullable Tensor labels, @Nullable Tensor guidance, boolean checked) {
        this.time = time;
        this.state = state;
        this.labels = labels;
        this.guidance = guidance;
        this.checked = checked;
    }

    /**
     * A context from values of any origin.
     *
     * @param time t, the noise level of the state: (B) in [0, 1], 0 is pure noise; the state then carries no information
     * @param state x_t: (B, ...), the item shape of the map
     * @param labels class of each item: (B) int64, the number of classes for "no label"; null for no labels at all
     * @param guidance amortised guidance scale w of each item: (B), finite; null for 1 throughout
     * @throws IllegalArgumentException if a time is outside [0, 1] or a scale is not finite
     */
    public Context(Tensor time, Tensor state, @Nullable Tensor labels, @Nullable Tensor guidance) {
        this(time, state, labels, guidance, true);
        InputValues.requireTimes("context time", time);
        if (guidance != null) {
            InputValues.requireFinite("guidance", guidance);
        }
    }

    /**
     * A context without labels or guidance.
     *
     * @throws IllegalArgumentException if a time is outside [0, 1]
     */
    public Context(Tensor time, Tensor state) {
        this(time, state, null, null);
    }

    /**
     * A context from values that are known to be in their ranges, such as those that a training step draws: nothing is read back, neither
     * here nor when a map is evaluated. Shapes, types and devices are checked as ever. Values out of range give results without meaning.
     */
    public static Context unchecked(Tensor time, Tensor state, @Nullable Tensor labels, @Nullable Tensor guidance) {
        return new Context(time, state, labels, guidance, false);
    }

    /**
     * The context that says nothing: t = 0 and a zero state, for states like {@code state}.
     *
     * @throws IllegalArgumentException if a scale is not finite
     */
    public static Context unconditional(Tensor state, @Nullable Tensor labels, @Nullable Tensor guidance) {
        if (guidance != null) {
            InputValues.requireFinite("guidance", guidance);
        }
        return new Context(Torch.zeros(state.dtype(), state.device(), state.size(0)), Torch.zerosLike(state), labels, guidance, true);
    }

    /** t: (B). */
    public Tensor time() {
        return time;
    }

    /** x_t: (B, ...). */
    public Tensor state() {
        return state;
    }

    /** The class of each item: (B) int64; null for no labels. */
    public @Nullable Tensor labels() {
        return labels;
    }

    /** w of each item: (B); null for 1. */
    public @Nullable Tensor guidance() {
        return guidance;
    }

    /** False for a context whose values, and the times that are used with it, are not looked at: see {@link #unchecked}. */
    public boolean isChecked() {
        return checked;
    }

    /**
     * This context for many evaluations of one map: its labels are checked now, and nothing is read back later.
     *
     * @throws IllegalArgumentException if a label is no class of the map
     */
    public Context checkedFor(MetaFlowMap map) {
        if (checked && labels != null) {
            InputValues.requireLabels(labels, map.classes());
        }
        return new Context(time, state, labels, guidance, false);
    }

    /**
     * This context for items with other labels and guidance scales.
     *
     * @throws IllegalArgumentException if a scale is not finite, unless this context is unchecked
     */
    public Context with(@Nullable Tensor otherLabels, @Nullable Tensor otherGuidance) {
        if (checked && otherGuidance != null) {
            InputValues.requireFinite("guidance", otherGuidance);
        }
        return new Context(time, state, otherLabels, otherGuidance, checked);
    }

    /** Repeats each item this many times in a row: a batch of B becomes one of B·times. */
    public Context repeatInterleave(long times) {
        return new Context(time.repeatInterleave(times, 0), state.repeatInterleave(times, 0),
                labels == null ? null : labels.repeatInterleave(times, 0),
                guidance == null ? null : guidance.repeatInterleave(times, 0), checked);
    }

    /** The context of {@code length} items from {@code start} on. */
    public Context slice(long start, long length) {
        return new Context(time.narrow(0, start, length), state.narrow(0, start, length),
                labels == null ? null : labels.narrow(0, start, length), guidance == null ? null : guidance.narrow(0, start, length), checked);
    }

    /** The context of the first items of the batch. */
    public Context first(long count) {
        return slice(0, count);
    }
}
