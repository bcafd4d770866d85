package org.metaflowmaps.training.data;

import org.metaflowmaps.runtime.Tensor;

/** The source of a {@link Loader}'s stored items, in the order of its epochs. */
interface Rows extends AutoCloseable {
    /**
     * Some items.
     *
     * @param stored (B, stored shape) on the loader's device
     * @param index (B) int64 on that device: their indices among the training items
     */
    record Found(Tensor stored, Tensor index) {}

    /** Returns the items after the first {@code position} ones, in the innermost open scope. */
    Found read(long position, int count);

    /** Returns the first items, in the innermost open scope; keeps items read ahead and counts no damaged item. */
    Found first(int count);

    /** Returns the number of damaged items replaced so far. */
    default long replaced() {
        return 0;
    }

    @Override
    void close();
}
