package org.metaflowmaps.training.data;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;

/** An endless stream of training items whose every batch is a function of a seed and of how many items came before. */
public interface TrainingData extends AutoCloseable {
    /**
     * Some items with their labels.
     *
     * @param items (B, item shape) float32
     * @param labels (B) int64
     * @param weights (B) float32: what each item's loss is multiplied by; null for 1. With weights e^r(x_1) the law that is learned is
     *     that of the data tilted by the reward r (method §9.1, §9.3)
     */
    record Batch(Tensor items, Tensor labels, @Nullable Tensor weights) {
        /** Items that all count alike. */
        public Batch(Tensor items, Tensor labels) {
            this(items, labels, null);
        }

        /** The first items, as views. */
        public Batch first(long count) {
            return new Batch(items.narrow(0, 0, count), labels.narrow(0, 0, count), weights == null ? null : weights.narrow(0, 0, count));
        }
    }

    /** The shape of one item. */
    long[] itemShape();

    /** The number of classes. */
    int classes();

    /**
     * The items that follow on the first {@code position} ones.
     *
     * @param position how many items came before, 0 or more
     * @param count how many to give
     * @return in the innermost open scope, on the stream's device
     */
    Batch batch(long position, int count);

    @Override
    void close();
}
