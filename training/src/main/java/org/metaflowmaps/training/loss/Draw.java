package org.metaflowmaps.training.loss;

import com.google.common.base.Preconditions;
import org.jspecify.annotations.Nullable;

/**
 * All that is random in a step: losses compute from it alone, draw nothing and read nothing back. The number of items and whether there
 * are jumps are its static shape.
 *
 * @param step steps taken before, from 0: schedules depend on it, so it belongs to the static shape
 * @param diagonal points of the diagonal, for the diagonal loss
 * @param jump pairs for the consistency loss, as many items or fewer; null where that loss takes no part
 */
public record Draw(long step, Pair diagonal, @Nullable Pair jump) {
    /** The number of items. */
    public long items() {
        return diagonal.items();
    }

    /**
     * A part of this draw, as views: the items from one number to below another, and the same share of the jumps. Parts that follow each
     * other make up the whole: the mean loss of the whole is the mean of the parts' losses, each weighted by its number of items.
     *
     * @param from the first item's number, from 0
     * @param to the number behind the last one's
     * @return without jumps where the part has none
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
