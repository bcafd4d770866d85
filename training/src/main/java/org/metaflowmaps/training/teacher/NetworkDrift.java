package org.metaflowmaps.training.teacher;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.training.model.Context;
import org.metaflowmaps.training.model.MetaFlowMap;

/**
 * The unconditional drift inside a map: b_t(x) = v(t, t, x) at a context of time 0 and zero state (method §3.5, first way). Of a
 * flow or a flow map, which have no context, it is their own velocity.
 *
 * @param map not owned
 */
public record NetworkDrift(MetaFlowMap map) implements Drift {
    @Override
    public Tensor at(Tensor time, Tensor state, @Nullable Tensor labels, @Nullable Tensor guidance) {
        return map.averageVelocity(time, time, state, Context.unconditional(state, labels, guidance));
    }
}
