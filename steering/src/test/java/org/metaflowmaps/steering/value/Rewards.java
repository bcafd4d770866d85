package org.metaflowmaps.steering.value;

import java.util.function.UnaryOperator;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Reward;

/** Rewards of states to test with. */
final class Rewards {
    private Rewards() {}

    private record Of(String name, boolean isDifferentiable, UnaryOperator<Tensor> function) implements Reward {
        @Override
        public Tensor score(Tensor samples, Condition condition) {
            return function.apply(samples.reshape(samples.size(0), -1));
        }

        @Override
        public boolean takesStates() {
            return true;
        }
    }

    /** A function of rows (N, features) to (N). */
    static Reward of(String name, UnaryOperator<Tensor> function) {
        return new Of(name, true, function);
    }

    /** The same without gradients. */
    static Reward opaque(UnaryOperator<Tensor> function) {
        return new Of("opaque", false, rows -> function.apply(rows.detach()));
    }

    /** a·x. */
    static Reward linear(double... direction) {
        return of(
                "linear",
                rows -> rows.mul(Torch.of(direction, 1, direction.length).to(rows.dtype()))
                        .sum(1));
    }

    /** A nonlinear function that depends differently on every entry. */
    static Reward curved() {
        return of("curved", rows -> {
            Tensor weights = Torch.arange(rows.size(1))
                    .to(rows.dtype())
                    .mul(0.3)
                    .add(0.5)
                    .unsqueeze(0);
            return rows.mul(weights).sin().sum(1).add(rows.square().sum(1).mul(-0.2));
        });
    }

    /** The constant c, computed from the samples, so that its gradient exists and is 0. */
    static Reward constant(double value) {
        return of("constant", rows -> rows.mul(0).sum(1).add(value));
    }
}
