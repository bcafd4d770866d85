package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;

/** An endless stream of training items; each batch depends only on a seed and the number of items before it. */
public interface TrainingData extends AutoCloseable {
    /**
     * Items with their labels.
     *
     * @param items (B, item shape) float32
     * @param labels (B) int64
     * @param weights (B) float32: factors of the items' losses; null for 1. With weights e^r(x_1), velocities from data
     *     and the summed square loss, the learned law is that of the data tilted by the reward r (method §9.1)
     */
    record Batch(Tensor items, Tensor labels, @Nullable Tensor weights) {
        /** Checks shapes, types and devices. */
        public Batch {
            check("labels", labels, DType.INT64, items);
            if (weights != null) {
                check("weights", weights, DType.FLOAT32, items);
            }
        }

        private static void check(String what, Tensor vector, DType type, Tensor items) {
            boolean fits = vector.dim() == 1
                    && vector.size(0) == items.size(0)
                    && vector.dtype() == type
                    && vector.device().equals(items.device());
            Preconditions.checkArgument(
                    fits,
                    "batch: %s are %s, expected one of %s for each of the items, which are %s",
                    what,
                    vector,
                    type,
                    items);
        }

        /** Makes a batch with equal weights. */
        public Batch(Tensor items, Tensor labels) {
            this(items, labels, null);
        }

        /** Returns the first items, as views. */
        public Batch first(long count) {
            return new Batch(
                    items.narrow(0, 0, count),
                    labels.narrow(0, 0, count),
                    weights == null ? null : weights.narrow(0, 0, count));
        }
    }

    /** Returns the shape of one item. */
    Shape itemShape();

    /** The number of classes. */
    int classes();

    /** Returns the class names, indexed by label; empty if the classes have no names. */
    default List<String> classNames() {
        return List.of();
    }

    /** Returns how items follow from an autoencoder's latents; empty, the default, if they are no latents. */
    default Optional<LatentScaling> latents() {
        return Optional.empty();
    }

    /** Returns the number of held-out items, which this stream never returns. */
    default int heldOut() {
        return 0;
    }

    /**
     * Returns some of the held-out items, neither shuffled nor mirrored.
     *
     * @param from the index of the first among them, from 0
     * @param count how many, at least 1
     * @return in the innermost open scope, on the stream's device
     * @throws IllegalArgumentException if there are fewer
     * @throws java.io.UncheckedIOException if one cannot be read
     */
    default Batch heldOut(int from, int count) {
        throw new IllegalArgumentException(
                "held-out items " + from + " to " + ((long) from + count) + ", but this data holds none out");
    }

    /** Returns the number of damaged items replaced in the batches so far. */
    default long replaced() {
        return 0;
    }

    /** Returns a one-line description for the user; may be empty. */
    default String summary() {
        return "";
    }

    /**
     * Returns the items after the first {@code position} ones.
     *
     * @param position the number of items before, 0 or more
     * @param count the number of items
     * @return in the innermost open scope, on the stream's device
     */
    Batch batch(long position, int count);

    /**
     * Returns the items of {@code batch(0, count)} without changing the stream, for a picture during training: drops no
     * items read ahead and counts no {@linkplain #replaced replaced} item.
     *
     * @param count how many, at least 1
     * @return in the innermost open scope, on the stream's device; null, the default, if the stream does not support
     *     this
     * @throws java.io.UncheckedIOException if one cannot be read
     */
    default @Nullable Batch examples(int count) {
        return null;
    }

    @Override
    void close();
}
