package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;

/**
 * The log-likelihood of an observation y = a·x + σ·noise of a state, without its constant: a reward with an exact value
 * function.
 *
 * @param likelihood the formulas
 */
public record LinearGaussianLikelihood(LinearGaussianReward likelihood) implements Reward {
    /** Checks for null. */
    public LinearGaussianLikelihood {
        Preconditions.checkNotNull(likelihood, "linear-Gaussian reward: the likelihood is null");
    }

    @Override
    public String name() {
        return "linear-Gaussian likelihood";
    }

    @Override
    public boolean isConcurrent() {
        return true;
    }

    @Override
    public Tensor score(Tensor samples, Condition condition) {
        Preconditions.checkArgument(
                samples.dim() == 2, "reward %s: states are %s, expected vectors (N, d)", name(), samples);
        return likelihood.at(samples);
    }

    @Override
    public boolean takesStates() {
        return true;
    }
}
