package org.metaflowmaps.training.loss;

import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;

/** The flow-matching loss of all posteriors: v(s, s, x̄) against a velocity (method §4.2). */
public final class Diagonal {
    private Diagonal() {}

    /** Computes prediction and target at (s, s); ignores the pair's end. */
    public static Regression of(MetaFlowMap map, Pair pair, Velocity velocity) {
        Tensor prediction = map.averageVelocity(pair.start(), pair.start(), pair.state(), pair.context());
        return pair.compare(prediction, velocity.atStart(map, pair, prediction.detach()));
    }
}
