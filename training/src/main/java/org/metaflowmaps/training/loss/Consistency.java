package org.metaflowmaps.training.loss;

import java.util.Objects;
import java.util.function.Supplier;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.model.Context;
import org.metaflowmaps.training.model.Dual;
import org.metaflowmaps.training.model.MetaFlowMap;

/**
 * The losses that tie a flow map's long jumps to its diagonal (method §4.3). The context is passive in all of them: it is an
 * input, but no derivative is taken along it. Targets are stopped: they carry no gradient graph.
 */
public sealed interface Consistency {
    /** Prediction and target for a batch of pairs. */
    Regression of(MetaFlowMap map, Pair pair);

    /**
     * Progressive self-distillation: v(s,u,x̄) against γ·v(s,w,x̄) + (1-γ)·v(w,u,X(s,w,x̄)), w = s + γ(u-s). No derivatives.
     */
    record Semigroup() implements Consistency {
        @Override
        public Regression of(MetaFlowMap map, Pair pair) {
            Tensor state = pair.state();
            Tensor target;
            try (Autograd.Mode off = Autograd.noGrad()) {
                Tensor fraction = Objects.requireNonNull(pair.fraction(), "the semigroup loss needs the pair's fraction");
                Tensor middle = pair.start().add(fraction.mul(pair.end().sub(pair.start())));
                Tensor first = map.averageVelocity(pair.start(), middle, state, pair.context());
                Tensor between = state.add(MetaFlowMap.perItem(middle.sub(pair.start()), state).mul(first));
                Tensor second = map.averageVelocity(middle, pair.end(), between, pair.context());
                target = second.lerp(first, MetaFlowMap.perItem(fraction, state));
            }
            return new Regression(map.averageVelocity(pair.start(), pair.end(), state, pair.context()), target);
        }
    }

    /** MeanFlow: v against g + (u-s)·Dv, where g = x_1 - x̄_0 and D is the derivative along (1, 0, g) (arXiv 2505.13447). */
    record MeanFlow() implements Consistency {
        @Override
        public Regression of(MetaFlowMap map, Pair pair) {
            return eulerian(map, pair, pair.velocity());
        }
    }

    /** Eulerian self-distillation: MeanFlow with the map's own stopped velocity v(s,s,x̄) for g. */
    record Eulerian() implements Consistency {
        @Override
        public Regression of(MetaFlowMap map, Pair pair) {
            return eulerian(map, pair,
                    stopped(() -> map.averageVelocity(pair.start(), pair.start(), pair.state(), pair.context())));
        }
    }

    /** How a {@link Lagrangian} loss sends its gradient. */
    enum Through {
        /** Through ∂_u X, against the stopped velocity at the end: the form of the paper. */
        DERIVATIVE,
        /** Through the velocity at the end and the jump that leads there, against the stopped ∂_u X: the released code. */
        VELOCITY,
        /** Through v(s,u,x̄) alone, against the stopped v(u,u,X) - (u-s)·∂_u v: needs no reverse pass through a derivative. */
        AVERAGE
    }

    /**
     * Lagrangian self-distillation: ∂_u X(s,u,x̄) = v(u,u,X(s,u,x̄)), where ∂_u X = v + (u-s)·∂_u v.
     *
     * @param through which side is trained
     */
    record Lagrangian(Through through) implements Consistency {
        @Override
        public Regression of(MetaFlowMap map, Pair pair) {
            Tensor state = pair.state();
            Tensor length = MetaFlowMap.perItem(pair.end().sub(pair.start()), state);
            Dual velocity = alongEnd(map, pair, state);
            Tensor jumped = state.add(length.mul(velocity.primal()));
            return switch (through) {
                case DERIVATIVE -> new Regression(velocity.primal().add(length.mul(velocity.tangentOrZero())),
                        stopped(() -> map.averageVelocity(pair.end(), pair.end(), jumped.detach(), pair.context())));
                case VELOCITY -> new Regression(map.averageVelocity(pair.end(), pair.end(), jumped, pair.context()),
                        stopped(() -> velocity.primal().add(length.mul(velocity.tangentOrZero()))));
                case AVERAGE -> new Regression(velocity.primal(), stopped(() -> map.averageVelocity(pair.end(), pair.end(),
                        jumped.detach(), pair.context())
                        .sub(length.mul(velocity.tangentOrZero()))));
            };
        }

        private Dual alongEnd(MetaFlowMap map, Pair pair, Tensor state) {
            Tensor one = Torch.onesLike(pair.end());
            Dual end = through == Through.DERIVATIVE ? Dual.through(pair.end(), one) : Dual.of(pair.end(), one);
            return map.averageVelocity(Dual.constant(pair.start()), end, Dual.constant(state), pair.context());
        }
    }

    private static Tensor stopped(Supplier<Tensor> body) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            return body.get();
        }
    }

    /** v against g + (u-s)·(∂_s + g·∇)v for a constant g in target and direction: one forward pass with its tangent. */
    private static Regression eulerian(MetaFlowMap map, Pair pair, Tensor velocity) {
        Tensor state = pair.state();
        Context context = pair.context();
        Dual jump = map.averageVelocity(
                Dual.of(pair.start(), Torch.onesLike(pair.start())), Dual.constant(pair.end()), Dual.of(state, velocity),
                        context);
        Tensor length = MetaFlowMap.perItem(pair.end().sub(pair.start()), state);
        Tensor target = stopped(() -> velocity.add(length.mul(jump.tangentOrZero())));
        return new Regression(jump.primal(), target);
    }
}
