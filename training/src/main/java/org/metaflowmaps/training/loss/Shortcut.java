package org.metaflowmaps.training.loss;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.model.MetaFlowMap;

/**
 * Shortcut models (arXiv 2410.12557): {@link Progressive} with both halves of equal length, on pairs from a dyadic grid, whose
 * halves are then pairs of the grid too. The pair's fraction is not looked at.
 *
 * @param average a map with averaged weights that makes the two halves, not owned; null for the trained map
 */
public record Shortcut(@Nullable MetaFlowMap average) implements Consistency {
    @Override
    public Regression of(MetaFlowMap map, Pair pair) {
        Tensor half = Torch.onesLike(pair.start()).mul(0.5);
        return new Regression(map.averageVelocity(pair.start(), pair.end(), pair.state(), pair.context()),
                Progressive.composed(average == null ? map : average, pair, half));
    }
}
