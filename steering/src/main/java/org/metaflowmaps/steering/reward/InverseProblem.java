package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The log-likelihood -‖A x - y‖² / (2σ²) of an observation y of an image x with Gaussian noise, up to its constant: the
 * tilted law with λ = 1 is the posterior of x. Owned by the caller; closes its measurement.
 */
public final class InverseProblem implements Reward {
    private final Measurement measurement;
    private final Constant observation;
    private final double noise;

    /**
     * A reward.
     *
     * @param measurement A, owned by this reward
     * @param observation y: (C, h, w), such as from {@link Measurement#observe}; copied. Hidden numbers are ignored
     * @param noise σ, above 0
     * @throws IllegalArgumentException for a wrong shape or noise; the caller then still owns the measurement
     */
    public InverseProblem(Measurement measurement, Tensor observation, double noise) {
        Preconditions.checkArgument(
                observation.dim() == 3 && observation.dtype().isFloatingPoint(),
                "%s: the observation is %s, expected (C, h, w) of floating point",
                measurement.name(),
                observation);
        this.noise = Checks.deviation(measurement.name(), "noise", noise);
        this.measurement = measurement;
        try (TensorScope scope = TensorScope.open()) {
            this.observation = Constant.copyOf(measurement.visible(observation));
        }
    }

    @Override
    public String name() {
        return measurement.name();
    }

    @Override
    public boolean isConcurrent() {
        return true;
    }

    @Override
    public Tensor score(Tensor samples, Condition condition) {
        return scaled(samples, -0.5);
    }

    /**
     * Returns χ²/n = ‖A x - y‖² / (σ²·n) over the n observed numbers: about 1 for images that explain the observation
     * without fitting its noise.
     *
     * @param images (N, C, H, W) in [0, 1]
     * @return (N), in the innermost open scope
     */
    public Tensor chiSquared(Tensor images) {
        return scaled(images, 1.0 / measurement.seen(observation.shape()));
    }

    /**
     * Returns A x.
     *
     * @param images (N, C, H, W) in [0, 1]
     * @return (N, C, h, w), in the innermost open scope
     */
    public Tensor measured(Tensor images) {
        return measurement.apply(images);
    }

    /** Returns a copy of the observation y with zeros for hidden numbers: (C, h, w) float64, in the innermost open scope. */
    public Tensor observation() {
        return observation.copy();
    }

    private Tensor scaled(Tensor images, double factor) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor seen = measured(images);
            Shape expected = observation.shape();
            Preconditions.checkArgument(
                    seen.shape().from(1).equals(expected),
                    "reward %s: images %s give observations of shape %s, expected the given observation's shape %s",
                    name(),
                    images,
                    seen.shape().from(1),
                    expected);
            return scope.keep(
                    seen.sub(observation.like(seen)).square().sum(1, 2, 3).mul(factor / (noise * noise)));
        }
    }

    @Override
    public void close() {
        observation.close();
        measurement.close();
    }
}
