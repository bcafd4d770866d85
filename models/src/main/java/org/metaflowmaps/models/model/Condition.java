package org.metaflowmaps.models.model;

import com.google.common.base.Preconditions;
import java.util.Objects;
import java.util.Optional;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The labels and amortised guidance scales of a batch.
 *
 * <p>Immutable. The caller owns the tensors it passes; a derived condition's tensors belong to the innermost open
 * scope.
 */
public final class Condition {
    private static final Condition NONE = new Condition(null, null);

    private final @Nullable Tensor labels;
    private final @Nullable Tensor guidance;

    private Condition(@Nullable Tensor labels, @Nullable Tensor guidance) {
        this.labels = labels;
        this.guidance = guidance;
    }

    /** Returns a condition without labels, at guidance scale 1, for a batch of any size. */
    public static Condition none() {
        return NONE;
    }

    /**
     * Returns labels at guidance scale 1.
     *
     * @param labels the class of each item: (B) int64; the number of classes means "no label". A map checks them.
     */
    public static Condition labelled(Tensor labels) {
        return new Condition(
                Preconditions.checkNotNull(
                        labels, "condition: the labels are null; for no labels, call Condition.none()"),
                null);
    }

    /**
     * Returns the label "no label" for every item, for a map with classes.
     *
     * @param classes of the map
     * @param batch the number of items
     * @param device of the labels
     */
    public static Condition unlabelled(int classes, long batch, Device device) {
        return new Condition(Torch.full(classes, DType.INT64, device, batch), null);
    }

    /**
     * These labels with a guidance scale for each item.
     *
     * @param scales w: (B), finite, in the map's element type
     */
    public Condition guided(Tensor scales) {
        return new Condition(
                labels,
                Preconditions.checkNotNull(
                        scales, "condition: the guidance scales are null; for scale 1, call withoutGuidance()"));
    }

    /**
     * Returns these labels with one guidance scale: w for labelled items, 1 for others, as in training. Without labels
     * it returns this condition.
     *
     * @param scale w, finite
     * @param classes of the map: the label that means "no label"
     * @throws IllegalArgumentException if the scale is not finite
     */
    public Condition guided(double scale, int classes) {
        Preconditions.checkArgument(
                Double.isFinite(scale), "guidance is %s, expected a finite number: give 1 for none", scale);
        Tensor given = labels;
        if (given == null) {
            return this;
        }
        try (TensorScope scope = TensorScope.open()) {
            return new Condition(
                    given,
                    scope.keep(
                            given.ge(classes).to(DType.FLOAT32).mul(1 - scale).add(scale)));
        }
    }

    /** These labels at guidance scale 1. */
    public Condition withoutGuidance() {
        return guidance == null ? this : new Condition(labels, null);
    }

    /** Returns the class of each item: (B) int64; empty if no item has a label. */
    public Optional<Tensor> labels() {
        return Optional.ofNullable(labels);
    }

    /** Returns w of each item: (B); empty if all are 1. */
    public Optional<Tensor> guidance() {
        return Optional.ofNullable(guidance);
    }

    /** Returns the condition of {@code length} items from {@code start} on. */
    public Condition slice(long start, long length) {
        return map(tensor -> tensor.narrow(0, start, length));
    }

    /** Repeats each item this many times in a row: a batch of B becomes one of B·times. */
    public Condition repeatInterleave(long times) {
        return map(tensor -> tensor.repeatInterleave(times, 0));
    }

    /**
     * Returns the condition of selected items.
     *
     * @param index indices of items: (N) int64, in any order, may repeat
     */
    public Condition indexSelect(Tensor index) {
        return map(tensor -> tensor.indexSelect(0, index));
    }

    /** Moves the tensors to the scope around {@code scope}. */
    public Condition keptFrom(TensorScope scope) {
        Objects.requireNonNull(scope, "scope is null");
        return map(scope::keep);
    }

    /**
     * Returns this condition with each tensor changed: first the labels, then the guidance scales, if present.
     *
     * @param change returns a tensor of the same type and batch size for each
     */
    public Condition map(UnaryOperator<Tensor> change) {
        return labels == null && guidance == null
                ? this
                : new Condition(
                        labels == null ? null : change.apply(labels), guidance == null ? null : change.apply(guidance));
    }
}
