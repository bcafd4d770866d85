package org.metaflowmaps.training.loss;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * The end of a jump moves with the flow: ∂_u X(s,u,x̄) = b_u(X(s,u,x̄)), where ∂_u X = v + (u-s)·∂_u v.
 *
 * @param velocity b: the map's own v(u,u,·), that of its average, or a teacher's drift
 * @param through the side of the equation to train
 */
public record Lagrangian(Velocity.Field velocity, Through through) implements Consistency {
    /** The path of the loss's gradient. */
    public enum Through {
        /** Through ∂_u X, against the detached velocity at the end: the paper's form. */
        @JsonProperty("derivative")
        DERIVATIVE,
        /**
         * Through the trained map's velocity at the end and the jump to it, against the detached ∂_u X: the public
         * code's form.
         */
        @JsonProperty("velocity")
        VELOCITY,
        /**
         * Only through v(s,u,x̄), against the detached b_u(X) - (u-s)·∂_u v: needs no reverse pass through a
         * derivative.
         */
        @JsonProperty("average")
        AVERAGE
    }

    /** Throws if another velocity than the map's would be trained. */
    public Lagrangian {
        if (through == Through.VELOCITY && !(velocity instanceof Velocity.Own)) {
            throw new IllegalArgumentException(
                    "a Lagrangian loss through the velocity trains the map's own: it takes no other velocity");
        }
    }

    @Override
    public Regression of(MetaFlowMap map, Pair pair) {
        Tensor length = pair.length();
        Dual jump = alongEnd(map, pair);
        return switch (through) {
            case DERIVATIVE ->
                pair.compare(jump.primal().add(length.mul(jump.tangentOrZero())), there(map, pair, length, jump));
            case VELOCITY ->
                pair.compare(
                        map.averageVelocity(pair.end(), pair.end(), jumped(pair, length, jump), pair.context()),
                        rate(length, jump));
            case AVERAGE ->
                pair.compare(jump.primal(), there(map, pair, length, jump).sub(length.mul(jump.tangentOrZero())));
        };
    }

    private Tensor there(MetaFlowMap map, Pair pair, Tensor length, Dual jump) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            return velocity.at(map, pair.end(), jumped(pair, length, jump), pair.context());
        }
    }

    private static Tensor jumped(Pair pair, Tensor length, Dual jump) {
        return pair.state().add(length.mul(jump.primal()));
    }

    private static Tensor rate(Tensor length, Dual jump) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            return jump.primal().add(length.mul(jump.tangentOrZero()));
        }
    }

    private Dual alongEnd(MetaFlowMap map, Pair pair) {
        Tensor one = Torch.onesLike(pair.end());
        Dual end = through == Through.DERIVATIVE ? Dual.through(pair.end(), one) : Dual.of(pair.end(), one);
        return map.averageVelocity(Dual.constant(pair.start()), end, Dual.constant(pair.state()), pair.context());
    }
}
