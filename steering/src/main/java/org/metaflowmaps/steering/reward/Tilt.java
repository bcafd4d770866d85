package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The log-density λ·r by which a reward tilts the data: decoder, reward and strength (method §6). The strength
 * multiplies the score before any log-mean-exp.
 *
 * @param reward scores the decoder's output
 * @param decoder between states and images
 * @param strength λ, finite; negative values mirror the reward
 */
public record Tilt(Reward reward, Decoder decoder, double strength) {
    /** Checks the range. */
    public Tilt {
        Preconditions.checkNotNull(reward, "tilt: the reward is null");
        Preconditions.checkNotNull(decoder, "tilt: the decoder is null");
        Preconditions.checkArgument(
                Double.isFinite(strength), "tilt: strength (lambda) is %s, expected a finite number", strength);
    }

    /** Makes a tilt by a reward of states, without decoder. */
    public Tilt(Reward reward, double strength) {
        this(reward, Decoder.IDENTITY, strength);
    }

    /** Returns this tilt with another strength. */
    public Tilt withStrength(double other) {
        return new Tilt(reward, decoder, other);
    }

    /**
     * Returns λ·r of each state.
     *
     * @param states (N, item shape)
     * @param condition of the N items
     * @return (N), in the innermost open scope; differentiable in the states if the reward is
     * @throws IllegalArgumentException if the reward returns a wrong shape or type
     */
    public Tensor at(Tensor states, Condition condition) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(score(states, condition).mul(strength));
        }
    }

    /** Returns r of each state, without λ: see {@link #at}. */
    public Tensor score(Tensor states, Condition condition) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor score = reward.score(decoder.decode(states), condition);
            Preconditions.checkArgument(
                    score.dim() == 1 && score.size(0) == states.size(0) && score.dtype() == states.dtype(),
                    "reward %s returned scores of shape %s and type %s for %s samples of type %s: expected one score"
                            + " of that type for each sample",
                    reward.name(),
                    score.shape(),
                    score.dtype(),
                    states.size(0),
                    states.dtype());
            return scope.keep(score);
        }
    }
}
