package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.List;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The log-density λ·r by which a reward tilts the data: decoder, reward and strength (method §6). The strength
 * multiplies the score before any log-mean-exp.
 *
 * @param reward scores the decoder's output
 * @param decoder between states and images
 * @param strength λ, finite; negative values mirror the reward
 * @param atOnce states that are decoded and scored at once, four times as many without gradients; 0 for all. Each part's
 *     graph is freed before the next part, so memory does not grow with the batch; the result of several parts has
 *     first derivatives only
 */
public record Tilt(Reward reward, Decoder decoder, double strength, int atOnce) {
    /** How many times more states fit without gradients: a pass without a graph needs less than a quarter of the memory. */
    private static final long WITHOUT_GRAPH = 4;

    /** Checks the range. */
    public Tilt {
        Preconditions.checkNotNull(reward, "tilt: the reward is null");
        Preconditions.checkNotNull(decoder, "tilt: the decoder is null");
        Preconditions.checkArgument(
                Double.isFinite(strength), "tilt: strength (lambda) is %s, expected a finite number", strength);
        Preconditions.checkArgument(atOnce >= 0, "tilt: %s states at once, expected at least 1, or 0 for all", atOnce);
    }

    /** Makes a tilt that scores all states at once. */
    public Tilt(Reward reward, Decoder decoder, double strength) {
        this(reward, decoder, strength, 0);
    }

    /** Makes a tilt by a reward of states, without decoder. */
    public Tilt(Reward reward, double strength) {
        this(reward, Decoder.IDENTITY, strength);
    }

    /** Returns this tilt with another strength. */
    public Tilt withStrength(double other) {
        return new Tilt(reward, decoder, other, atOnce);
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

    /**
     * {@link #score} as results are reported: in the states' own precision also under {@link Autocast}, which would
     * round the decoder's and the reward's products to bfloat16.
     */
    public Tensor scoreWithoutAutocast(Tensor states, Condition condition) {
        try (Autocast off = Autocast.off(states.device().type())) {
            return score(states, condition);
        }
    }

    /** Returns r of each state, without λ: see {@link #at}. */
    public Tensor score(Tensor states, Condition condition) {
        boolean hasGraph = Autograd.isRecording() && states.requiresGrad() && reward.isDifferentiable();
        long most = hasGraph ? atOnce : WITHOUT_GRAPH * atOnce;
        if (atOnce == 0 || states.size(0) <= most) {
            return whole(states, condition);
        }
        List<Tensor> scores = new ArrayList<>();
        List<Tensor> gradients = new ArrayList<>();
        try (TensorScope scope = TensorScope.open()) {
            for (long from = 0; from < states.size(0); from += most) {
                long size = Math.min(most, states.size(0) - from);
                try (TensorScope part = TensorScope.open()) {
                    Tensor some = states.narrow(0, from, size);
                    if (hasGraph) {
                        Tensor leaf = some.detach().clone().requiresGrad_(true);
                        Tensor score = whole(leaf, condition.slice(from, size));
                        scores.add(part.keep(score.detach()));
                        gradients.add(part.keep(gradient(score, leaf)));
                    } else {
                        scores.add(part.keep(whole(some, condition.slice(from, size))));
                    }
                }
            }
            Tensor all = Torch.cat(0, scores.toArray(Tensor[]::new));
            return scope.keep(hasGraph ? all.add(slope(states, Torch.cat(0, gradients.toArray(Tensor[]::new)))) : all);
        }
    }

    /** A score depends only on its own item, so the gradient of the sum holds each item's. */
    private static Tensor gradient(Tensor score, Tensor leaf) {
        try (Autocast off = Autocast.off(leaf.device().type())) {
            Tensor gradient = Autograd.gradients(score.sum(), List.of(leaf)).getFirst();
            // There a gradient has no meaning and may be NaN, which would change the score below.
            Tensor impossible = MetaFlowMap.perItem(score.detach().eq(Double.NEGATIVE_INFINITY), leaf);
            return gradient.maskedFill(impossible, 0);
        }
    }

    /** Returns 0 of each item, with this gradient in the states. */
    private static Tensor slope(Tensor states, Tensor gradient) {
        return states.sub(states.detach())
                .mul(gradient)
                .reshape(states.size(0), -1)
                .sum(1);
    }

    private Tensor whole(Tensor states, Condition condition) {
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

    /** Returns where NaN appeared first in what was decoded and scored so far, for a message; empty if unknown. */
    public String diagnosis() {
        String decoded = decoder.diagnosis();
        return decoded.isEmpty() ? reward.diagnosis() : decoded;
    }
}
