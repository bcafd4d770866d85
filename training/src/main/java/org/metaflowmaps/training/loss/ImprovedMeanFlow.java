package org.metaflowmaps.training.loss;

import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;

/**
 * Improved MeanFlow (iMF): v - (u-s)·stop((∂_s + v_{s,s}·∇)v) against g, with the map's own velocity as the direction.
 * The target is that of flow matching, so its noise is not multiplied by a derivative.
 *
 * @param velocity g: the pair's data, guided or not, or a teacher's drift
 */
public record ImprovedMeanFlow(Velocity velocity) implements Consistency {
    @Override
    public Regression of(MetaFlowMap map, Pair pair) {
        Tensor own = new Velocity.Own().atStart(map, pair);
        Tensor g = velocity.atStart(map, pair, own);
        Dual jump = Eulerian.along(map, pair, own);
        return pair.compare(jump.primal().sub(pair.length().mul(jump.tangentOrZero())), g);
    }
}
