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
 * What the items of a batch are conditioned on, beside a noisy state: their labels and their amortised guidance scales.
 *
 * <p>Immutable. The tensors belong to whoever made them; a derived condition's tensors belong to the innermost open scope.
 */
public final class Condition {
    private static final Condition NONE = new Condition(null, null);

    private final @Nullable Tensor labels;
    private final @Nullable Tensor guidance;

    private Condition(@Nullable Tensor labels, @Nullable Tensor guidance) {
        this.labels = labels;
        this.guidance = guidance;
    }

    /** No labels, and guidance scale 1 throughout; fits a batch of any size. */
    public static Condition none() {
        return NONE;
    }

    /**
     * Labels, at guidance scale 1.
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
     * No label for any item, as a map with classes is told that.
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
     * These labels with one guidance scale: w for items that have a label, 1 for the others, as in training. Without labels there is
     * nothing to guide, and the condition stays as it is.
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

    /** The class of each item: (B) int64; empty if no item has a label. */
    public Optional<Tensor> labels() {
        return Optional.ofNullable(labels);
    }

    /** w of each item: (B); empty for 1 throughout. */
    public Optional<Tensor> guidance() {
        return Optional.ofNullable(guidance);
    }

    /** The condition of {@code length} items from {@code start} on. */
    public Condition slice(long start, long length) {
        return map(tensor -> tensor.narrow(0, start, length));
    }

    /** Repeats each item this many times in a row: a batch of B becomes one of B·times. */
    public Condition repeatInterleave(long times) {
        return map(tensor -> tensor.repeatInterleave(times, 0));
    }

    /**
     * The condition of chosen items.
     *
     * @param index numbers of items: (N) int64, in any order, also repeated
     */
    public Condition indexSelect(Tensor index) {
        return map(tensor -> tensor.indexSelect(0, index));
    }

    /** Hands the tensors to the scope around {@code scope}. */
    public Condition keptFrom(TensorScope scope) {
        Objects.requireNonNull(scope, "scope is null");
        return map(scope::keep);
    }

    private Condition map(UnaryOperator<Tensor> change) {
        return labels == null && guidance == null
                ? this
                : new Condition(
                        labels == null ? null : change.apply(labels), guidance == null ? null : change.apply(guidance));
    }
}
