package org.metaflowmaps.training.loss;

import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * The end of a jump does not depend on its start along the path, ∂_s X + ∇X·b = 0: v(s,u,x̄) against g + (u-s)·(∂_s +
 * g·∇)v, with the same velocity g in target and direction. One forward pass with its tangent.
 *
 * @param velocity g. With the pair's data this is MeanFlow (arXiv 2505.13447), with the map's own v(s,s,x̄) Eulerian
 *     self-distillation, and with a teacher's drift the paper's best loss
 */
public record Eulerian(Velocity velocity) implements Consistency {
    @Override
    public Regression of(MetaFlowMap map, Pair pair) {
        Tensor g = velocity.atStart(map, pair);
        Dual jump = along(map, pair, g);
        return pair.compare(jump.primal(), advanced(g, pair, jump));
    }

    /** Returns v(s,u,x̄) with its derivative along (1, 0, direction) in (s, u, x̄). */
    static Dual along(MetaFlowMap map, Pair pair, Tensor direction) {
        return map.averageVelocity(
                Dual.of(pair.start(), Torch.onesLike(pair.start())),
                Dual.constant(pair.end()),
                Dual.of(pair.state(), direction),
                pair.context());
    }

    private static Tensor advanced(Tensor g, Pair pair, Dual jump) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            return g.add(pair.length().mul(jump.tangentOrZero()));
        }
    }
}
