package org.metaflowmaps.training.loss;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.model.MetaFlowMap;

/**
 * α-Flow: v(s,u,x̄) against α·g + (1-α)·v(q,u,x̄ + (q-s)·g), q = s + α(u-s), its squared error times 1/α. α = 1 is flow matching, and
 * α = 0, its limit, is MeanFlow, which alone of them takes a derivative.
 *
 * @param velocity g: the pair's data, guided or not, or a teacher's drift
 * @param alpha α, 0 to 1
 */
public record AlphaFlow(Velocity velocity, double alpha) implements Consistency {
    /** Checks the range. */
    public AlphaFlow {
        Preconditions.checkArgument(alpha >= 0 && alpha <= 1, "alpha-flow: alpha is %s, expected 0 to 1", alpha);
    }

    /**
     * A schedule that takes α from 1 to 0 along a sigmoid between two steps; below 1/200, where the loss's factor would blow up
     * rounding, it is 0, and near 1 it is 1.
     *
     * @param from the step until which α is 1
     * @param to the step from which α is 0
     */
    public static double scheduled(long step, long from, long to) {
        if (step >= to) {
            return 0;
        }
        double steepness = 25;
        double least = 1 / 200.0;
        double alpha = 1 / (1 + Math.exp(steepness * ((double) (step - from) / (to - from) - 0.5)));
        return step <= from || alpha > 1 - least ? 1 : alpha < least ? 0 : alpha;
    }

    @Override
    public Regression of(MetaFlowMap map, Pair pair) {
        if (alpha == 0) {
            return new Eulerian(velocity).of(map, pair);
        }
        Tensor target = target(map, pair);
        return new Regression(map.averageVelocity(pair.start(), pair.end(), pair.state(), pair.context()), target, 1 / alpha);
    }

    private Tensor target(MetaFlowMap map, Pair pair) {
        Tensor g = velocity.atStart(map, pair);
        if (alpha == 1) {
            return g;
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor middle = pair.start().add(pair.end().sub(pair.start()).mul(alpha));
            Tensor between = pair.state().add(pair.length().mul(alpha).mul(g));
            Tensor rest = map.averageVelocity(middle, pair.end(), between, pair.context());
            return scope.keep(rest.mul(1 - alpha).add(g.mul(alpha)));
        }
    }
}
