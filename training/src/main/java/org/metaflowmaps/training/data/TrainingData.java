package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;

/** An endless stream of training items whose every batch is a function of a seed and of how many items came before. */
public interface TrainingData extends AutoCloseable {
    /**
     * Some items with their labels.
     *
     * @param items (B, item shape) float32
     * @param labels (B) int64
     * @param weights (B) float32: what each item's loss is multiplied by; null for 1. With weights e^r(x_1), velocities
     *     from data and a loss of the summed square, the law that is learned is that of the data tilted by the reward r (method §9.1)
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

        /** Items that all count alike. */
        public Batch(Tensor items, Tensor labels) {
            this(items, labels, null);
        }

        /** The first items, as views. */
        public Batch first(long count) {
            return new Batch(
                    items.narrow(0, 0, count),
                    labels.narrow(0, 0, count),
                    weights == null ? null : weights.narrow(0, 0, count));
        }
    }

    /** The shape of one item. */
    Shape itemShape();

    /** The number of classes. */
    int classes();

    /** The name of each class, a label being an index into it; empty if the classes have none. */
    default List<String> classNames() {
        return List.of();
    }

    /** How many items of the set this stream never gives, for evaluation. */
    default int heldOut() {
        return 0;
    }

    /**
     * Some of the held-out items, as they are: neither shuffled nor mirrored.
     *
     * @param from the first one's number among them, from 0
     * @param count how many, at least 1
     * @return in the innermost open scope, on the stream's device
     * @throws IllegalArgumentException if there are fewer
     * @throws java.io.UncheckedIOException if one cannot be read
     */
    default Batch heldOut(int from, int count) {
        throw new IllegalArgumentException(
                "held-out items " + from + " to " + ((long) from + count) + ", but this data holds none out");
    }

    /** How many items of the batches so far are others than their turn says, because those are damaged. */
    default long replaced() {
        return 0;
    }

    /** What was found, in a line for people; empty if there is nothing to say. */
    default String summary() {
        return "";
    }

    /**
     * The items that follow on the first {@code position} ones.
     *
     * @param position how many items came before, 0 or more
     * @param count how many to give
     * @return in the innermost open scope, on the stream's device
     */
    Batch batch(long position, int count);

    /**
     * The items of {@code batch(0, count)}, for a picture in the middle of training: reading them leaves the stream as it was, so it
     * drops nothing that was read ahead and counts no {@linkplain #replaced replaced} item.
     *
     * @param count how many, at least 1
     * @return in the innermost open scope, on the stream's device; null, the default, if the stream cannot give them
     * @throws java.io.UncheckedIOException if one cannot be read
     */
    default @Nullable Batch examples(int count) {
        return null;
    }

    @Override
    void close();
}
