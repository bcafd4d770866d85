package org.metaflowmaps.steering.particle;

import java.util.function.UnaryOperator;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.steering.reward.Reward;

/** Rewards of states to search with. */
final class SearchRewards {
    private SearchRewards() {}

    private record Of(UnaryOperator<Tensor> function) implements Reward {
        @Override
        public String name() {
            return "test";
        }

        @Override
        public boolean takesStates() {
            return true;
        }

        @Override
        public boolean isDifferentiable() {
            return false;
        }

        @Override
        public Tensor score(Tensor samples, Condition condition) {
            return function.apply(samples);
        }
    }

    /** A function of states (N, item shape) to (N). */
    static Reward of(UnaryOperator<Tensor> function) {
        return new Of(function);
    }

    /** -mean((x - target)²). */
    static Reward near(double target) {
        return of(samples -> samples.sub(target)
                .square()
                .reshape(samples.size(0), -1)
                .mean(1)
                .neg());
    }
}
