package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * One process's share of a stream of items: every {@code of}-th, from number {@code rank} on.
 *
 * <p>So a step's batches of all ranks are, together, the batch that one process would see with {@code of} times the batch size,
 * and all of them see each item of an epoch once. Each stays a function of the position alone, whatever the batch size.
 *
 * @param rank which process, from 0 to {@code of} - 1
 * @param of how many processes, at least 1
 */
public record Shard(int rank, int of) {
    /** The whole stream. */
    public static final Shard WHOLE = new Shard(0, 1);

    /** Checks the ranges. */
    public Shard {
        Preconditions.checkArgument(of >= 1, "%s ranks, expected at least 1", of);
        Preconditions.checkArgument(rank >= 0 && rank < of, "rank %s of %s, expected 0 to %s", rank, of, of - 1);
    }

    /** The place in the whole stream of an item of this share. */
    long global(long position) {
        return position * of + rank;
    }

    /**
     * This share's rows of the whole stream's.
     *
     * @param rows (count · of, …)
     * @return (count, …), in the innermost open scope
     */
    Tensor own(Tensor rows) {
        try (TensorScope scope = TensorScope.open()) {
            long[] shape = rows.shape();
            long[] split = new long[shape.length + 1];
            split[0] = shape[0] / of;
            split[1] = of;
            System.arraycopy(shape, 1, split, 2, shape.length - 1);
            Preconditions.checkArgument(shape[0] % of == 0, "%s rows for %s ranks, expected a multiple", shape[0], of);
            return scope.keep(rows.view(split).select(1, rank).contiguous());
        }
    }
}
