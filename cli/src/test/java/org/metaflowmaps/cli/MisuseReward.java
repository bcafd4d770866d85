package org.metaflowmaps.cli;

import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.steering.reward.Reward;

/** The mean of a state. */
record MisuseReward() implements Reward {
    @Override
    public String name() {
        return "mean";
    }

    @Override
    public Tensor score(Tensor samples, Condition condition) {
        return samples.reshape(samples.size(0), -1).mean(1);
    }

    @Override
    public boolean takesStates() {
        return true;
    }
}
