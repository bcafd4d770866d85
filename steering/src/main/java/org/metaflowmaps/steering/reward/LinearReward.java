package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** The reward a·x. It shifts a Gaussian's mean by λ·Σ·a and does not change its covariance. Owned by the caller. */
public final class LinearReward implements Reward {
    private final boolean states;
    private final Constant direction;

    private LinearReward(boolean states, double[] direction, Device device) {
        Preconditions.checkArgument(
                direction.length > 0 && Arrays.stream(direction).allMatch(Double::isFinite),
                "linear reward: the direction is %s, expected finite numbers, at least one",
                Arrays.toString(direction));
        this.states = states;
        this.direction = Constant.of(direction, device, direction.length);
    }

    /**
     * A reward of states.
     *
     * @param direction a: one number for each number of a state, in row-major order
     * @param device of the states
     */
    public static LinearReward ofStates(double[] direction, Device device) {
        return new LinearReward(true, direction, device);
    }

    /**
     * A reward of images in [0, 1].
     *
     * @param direction a: one number for each number of an image, in the order (C, H, W)
     * @param device of the images
     */
    public static LinearReward ofImages(double[] direction, Device device) {
        return new LinearReward(false, direction, device);
    }

    @Override
    public String name() {
        return "linear";
    }

    @Override
    public boolean isConcurrent() {
        return true;
    }

    @Override
    public Tensor score(Tensor samples, Condition condition) {
        long wanted = direction.shape().numel();
        long items = samples.dim() == 0 ? 0 : samples.size(0);
        Preconditions.checkArgument(
                samples.numel() == items * wanted,
                "reward %s: samples are %s, expected %s numbers in an item, as many as the direction has",
                name(),
                samples,
                wanted);
        try (TensorScope scope = TensorScope.open()) {
            // Use a product and a sum, because autocast would round a matrix product to bfloat16.
            return scope.keep(
                    samples.reshape(items, wanted).mul(direction.like(samples)).sum(1));
        }
    }

    @Override
    public boolean takesStates() {
        return states;
    }

    @Override
    public void close() {
        direction.close();
    }
}
