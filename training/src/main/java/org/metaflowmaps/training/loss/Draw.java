package org.metaflowmaps.training.loss;

import com.google.common.base.Preconditions;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;

/**
 * All random numbers of a step: losses depend only on it, draw nothing and read nothing back. Its static shape is the
 * number of items and whether it has jumps.
 *
 * @param step steps taken before, from 0; part of the static shape, because schedules depend on it
 * @param diagonal points of the diagonal, for the diagonal loss
 * @param jump pairs for the consistency loss, as many items or fewer; null if that loss is not computed
 */
public record Draw(long step, Pair diagonal, @Nullable Pair jump) {
    /**
     * Returns the draw of changed tensors, in a fixed order, for losses that run on other memory.
     *
     * @param change returns a tensor of the same shape and type for each
     */
    public Draw map(UnaryOperator<Tensor> change) {
        return new Draw(step, diagonal.map(change), jump == null ? null : jump.map(change));
    }

    /** Returns the number of items. */
    public long items() {
        return diagonal.items();
    }

    /**
     * Returns a part of this draw, as views: a range of items and the same share of the jumps. The mean loss of the
     * whole is the mean of consecutive parts' losses, weighted by their numbers of items.
     *
     * @param from the first item, from 0
     * @param to the end of the range, exclusive
     * @return a draw, without jumps if the part has none
     * @throws IllegalArgumentException unless 0 ≤ from &lt; to ≤ {@link #items}
     */
    public Draw slice(long from, long to) {
        long items = items();
        Preconditions.checkArgument(
                from >= 0 && from < to && to <= items,
                "draw: items %s to %s, expected at least one of its %s",
                from,
                to,
                items);
        Pair whole = jump;
        if (whole == null) {
            return new Draw(step, diagonal.slice(from, to), null);
        }
        long first = from * whole.items() / items;
        long end = to * whole.items() / items;
        return new Draw(step, diagonal.slice(from, to), first == end ? null : whole.slice(first, end));
    }
}
