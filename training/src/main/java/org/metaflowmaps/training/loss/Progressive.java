package org.metaflowmaps.training.loss;

import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Progressive self-distillation: v(s,u,x̄) against γ·v(s,w,x̄) + (1-γ)·v(w,u,X(s,w,x̄)), w = s + γ(u-s), γ the pair's
 * fraction. It is {@link Semigroup} divided by the jump's length; the public code calls it semigroup. No derivatives.
 *
 * @param average a map with averaged weights for the two shorter jumps, not owned; null for the trained map
 */
public record Progressive(@Nullable MetaFlowMap average) implements Consistency {
    @Override
    public Regression of(MetaFlowMap map, Pair pair) {
        Tensor fraction = Objects.requireNonNull(pair.fraction(), "this loss needs the pair's fraction");
        // Make passes without a graph first, so that their memory is freed before the graph is recorded.
        Tensor target = composed(average == null ? map : average, pair, fraction);
        return pair.compare(map.averageVelocity(pair.start(), pair.end(), pair.state(), pair.context()), target);
    }

    /** Returns the average velocity of two consecutive jumps, detached. */
    static Tensor composed(MetaFlowMap map, Pair pair, Tensor fraction) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor state = pair.state();
            Tensor middle = pair.start().add(fraction.mul(pair.end().sub(pair.start())));
            Tensor first = map.averageVelocity(pair.start(), middle, state, pair.context());
            Tensor between = state.add(
                    MetaFlowMap.perItem(middle.sub(pair.start()), state).mul(first));
            Tensor second = map.averageVelocity(middle, pair.end(), between, pair.context());
            return scope.keep(second.lerp(first, MetaFlowMap.perItem(fraction, state)));
        }
    }
}
