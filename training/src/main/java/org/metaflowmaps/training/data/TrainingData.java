package org.metaflowmaps.training.data;

import org.metaflowmaps.runtime.Tensor;

/** An endless stream of training items whose every batch is a function of a seed and of how many items came before. */
public sealed interface TrainingData extends AutoCloseable permits ImageData, ImageFolder, LatentShards, MixtureData {
    /**
     * Some items with their labels.
     *
     * @param items (B, item shape) float32
     * @param labels (B) int64
     */
    record Batch(Tensor items, Tensor labels) {}

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
