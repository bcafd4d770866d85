package org.metaflowmaps.training.loss;

import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;

/**
 * A jump equals two shorter jumps: X(s,u,x̄) against X(w,u,X(s,w,x̄)), w = s + γ(u-s), γ the pair's fraction. Short
 * jumps have less weight than in {@link Progressive}. No derivatives.
 *
 * @param average a map with averaged weights for the two shorter jumps, not owned; null for the trained map
 */
public record Semigroup(@Nullable MetaFlowMap average) implements Consistency {
    @Override
    public Regression of(MetaFlowMap map, Pair pair) {
        Tensor fraction = Objects.requireNonNull(pair.fraction(), "this loss needs the pair's fraction");
        Tensor state = pair.state();
        Tensor velocity = Progressive.composed(average == null ? map : average, pair, fraction);
        Tensor jumped = map.flowMap(pair.start(), pair.end(), state, pair.context());
        try (Autograd.Mode off = Autograd.noGrad()) {
            return pair.compare(jumped, state.add(pair.length().mul(velocity)));
        }
    }
}
