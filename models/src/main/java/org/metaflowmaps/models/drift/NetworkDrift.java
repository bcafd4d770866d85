package org.metaflowmaps.models.drift;

import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * The unconditional drift inside a map: b_t(x) = v(t, t, x) at a context of time 0 and zero state (method §3.5, first
 * way). For a flow or a flow map, which have no context, it is v(t, t, x).
 *
 * @param map not owned
 * @param checked false to skip checks of times, labels and scales, which read them back: for values known to be valid
 */
public record NetworkDrift(MetaFlowMap map, boolean checked) implements Drift {
    /** With all checks. */
    public NetworkDrift(MetaFlowMap map) {
        this(map, true);
    }

    @Override
    public Tensor at(Tensor time, Tensor state, Condition condition) {
        Context nothing = checked
                ? Context.unconditional(state, condition)
                : Context.unchecked(Torch.zerosLike(time), Torch.zerosLike(state), condition);
        return map.averageVelocity(time, time, state, nothing);
    }
}
