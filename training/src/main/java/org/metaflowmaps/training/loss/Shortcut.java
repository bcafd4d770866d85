package org.metaflowmaps.training.loss;

import com.google.common.base.Preconditions;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * Shortcut models (arXiv 2410.12557): {@link Progressive} with halves of equal length, on pairs from a dyadic grid. The
 * halves are again pairs of the grid, or single intervals, which are close to the diagonal. The pair's fraction is
 * ignored.
 *
 * @param average a map with averaged weights for the two halves, not owned; null for the trained map
 * @param bound largest size of a target's entry, 4 in the public code; 0 for no bound
 */
public record Shortcut(@Nullable MetaFlowMap average, double bound) implements Consistency {
    /** Checks the range. */
    public Shortcut {
        Preconditions.checkArgument(bound >= 0, "shortcut: the target's bound is %s, expected 0 (none) or more", bound);
    }

    @Override
    public Regression of(MetaFlowMap map, Pair pair) {
        Tensor half = Torch.onesLike(pair.start()).mul(0.5);
        Tensor target = Progressive.composed(average == null ? map : average, pair, half);
        return pair.compare(
                map.averageVelocity(pair.start(), pair.end(), pair.state(), pair.context()),
                bound == 0 ? target : target.clampMin(-bound).clampMax(bound));
    }
}
