package org.metaflowmaps.training.data;

import org.metaflowmaps.runtime.Tensor;

/** Where a {@link Loader} takes items from, as they are stored, in the order of its epochs. */
interface Rows extends AutoCloseable {
    /**
     * Some items.
     *
     * @param stored (B, stored shape) on the loader's device
     * @param index (B) int64 on that device: their numbers among the items that are trained on
     */
    record Found(Tensor stored, Tensor index) {}

    /** Returns the items that follow on the first {@code position} ones, in the innermost open scope. */
    Found read(long position, int count);

    /** Returns the first items, in the innermost open scope; leaves what was read ahead and counts no damaged item. */
    Found first(int count);

    /** Returns how many damaged items were replaced so far. */
    default long replaced() {
        return 0;
    }

    @Override
    void close();
}
