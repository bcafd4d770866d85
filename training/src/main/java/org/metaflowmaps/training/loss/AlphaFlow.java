package org.metaflowmaps.training.loss;

import com.google.common.base.Preconditions;
import java.util.Objects;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * α-Flow: v(s,u,x̄) against stop(v) + (τ - stop(v))/α, τ = α·g + (1-α)·v(q,u,x̄ + (q-s)·g), q = s + α(u-s). α = 1 is
 * flow matching; the limit α = 0 is MeanFlow, the only case with a derivative.
 *
 * <p>Under l2 the gradient is that of the paper's loss, the squared error against τ times 1/α (method §4.3). Other
 * weightings normalise by the error's size, so a factor of the loss would scale their gradients wrongly; here the error
 * itself has MeanFlow's size for every α.
 *
 * @param velocity g: the pair's data, guided or not, or a teacher's drift
 * @param stage the computation for the range of α; between 0 and 1 the value of α is the pair's tensor
 */
public record AlphaFlow(Velocity velocity, Stage stage) implements Consistency {
    /** The computations, one for each range of α. */
    public enum Stage {
        /** α = 1: flow matching. */
        MATCHING,
        /** 0 &lt; α &lt; 1: a second pass at q. */
        BETWEEN,
        /** α = 0: MeanFlow, with a derivative. */
        MEAN_FLOW;

        /**
         * Returns the stage of an α.
         *
         * @throws IllegalArgumentException unless α is from 0 to 1
         */
        public static Stage of(double alpha) {
            Preconditions.checkArgument(alpha >= 0 && alpha <= 1, "alpha-flow: alpha is %s, expected 0 to 1", alpha);
            return alpha == 0 ? MEAN_FLOW : alpha == 1 ? MATCHING : BETWEEN;
        }
    }

    /**
     * Returns a schedule of α from 1 to 0 along a sigmoid between two steps. Below 1/200 it is 0, because rounding
     * would be a large part of the two passes' difference; near 1 it is 1.
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
        if (stage == Stage.MEAN_FLOW) {
            return new Eulerian(velocity).of(map, pair);
        }
        Tensor g = velocity.atStart(map, pair);
        if (stage == Stage.MATCHING) {
            return pair.compare(map.averageVelocity(pair.start(), pair.end(), pair.state(), pair.context()), g);
        }
        Tensor alpha = Objects.requireNonNull(pair.alpha(), "alpha-flow needs the pair's alpha");
        try (TensorScope scope = TensorScope.open()) {
            Tensor middle = pair.start().add(pair.end().sub(pair.start()).mul(alpha));
            // Use the rounded q - s, not α(u-s), so that time and state of the second pass move by the same step.
            Tensor step = middle.sub(pair.start());
            Tensor state = pair.state();
            Tensor rest = silent(
                    map,
                    middle,
                    pair,
                    state.add(MetaFlowMap.perItem(step, state).mul(g)));
            Tensor prediction = map.averageVelocity(pair.start(), pair.end(), state, pair.context());
            try (Autograd.Mode off = Autograd.noGrad()) {
                // (τ - v)/α = g - v + (1-α)/α·(v(q,u,·) - v), so only the passes' difference is divided by a small
                // number.
                Tensor ratio = Torch.where(step.gt(0), pair.end().sub(middle).div(step), Torch.zerosLike(step));
                Tensor target = Torch.addcmul(g, MetaFlowMap.perItem(ratio, state), rest.sub(prediction));
                return pair.compare(scope.keep(prediction), scope.keep(target));
            }
        }
    }

    private static Tensor silent(MetaFlowMap map, Tensor middle, Pair pair, Tensor state) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            return map.averageVelocity(middle, pair.end(), state, pair.context());
        }
    }
}
