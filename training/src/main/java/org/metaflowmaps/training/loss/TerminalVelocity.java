package org.metaflowmaps.training.loss;

import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;

/**
 * Terminal velocity matching (TVM): the {@link Lagrangian} loss through ∂_u X against the velocity of averaged weights.
 * Items with equal start and end are ignored, and items with guidance scale w have weight 1/w².
 *
 * @param average not owned
 */
public record TerminalVelocity(MetaFlowMap average) implements Consistency {
    @Override
    public Regression of(MetaFlowMap map, Pair pair) {
        Regression all = new Lagrangian(new Velocity.Averaged(average), Lagrangian.Through.DERIVATIVE).of(map, pair);
        Tensor share = pair.end().ne(pair.start()).to(pair.start().dtype());
        Tensor guidance = pair.context().condition().guidance().orElse(null);
        Tensor scale = MetaFlowMap.perItem(guidance == null ? share : share.div(guidance), all.target());
        return pair.compare(all.prediction().mul(scale), all.target().mul(scale));
    }
}
