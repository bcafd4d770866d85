package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Decoder;
import org.metaflowmaps.steering.reward.InverseProblem;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.ValueFunction;

/**
 * Samples the posterior of an image given its observation, by steering with λ = 1, and measures how well the samples
 * explain the observation and how far they differ.
 *
 * <p>If the map's law were that of the images and steering exact, the truth and a sample would be exchangeable given
 * the observation, so that both have χ²/n = 1 on average.
 *
 * @param map with contexts, of images in [-1, 1]; frozen, not owned
 * @param samples of each posterior, at least 2
 * @param draws of the value's gradient at each step, at least 1
 * @param steps of a path, at least 1
 * @param dynamics of a path: with few draws the SDE, whose noise replaces the errors of early steps
 * @param seed of the noise
 * @param device of the map
 */
public record InverseEvaluation(
        MetaFlowMap map, int samples, int draws, int steps, Dynamics dynamics, long seed, Device device) {
    private static final double START = 0.01;

    /** Times the samples of one image this is less than the most items of {@link KeyedNoise}. */
    private static final long MOST_IMAGES = 1 << 16;

    /** Checks the ranges. */
    public InverseEvaluation {
        Preconditions.checkNotNull(map, "inverse problems: the map is null");
        Preconditions.checkNotNull(dynamics, "inverse problems: the dynamics are null");
        Preconditions.checkNotNull(device, "inverse problems: the device is null");
        Preconditions.checkArgument(samples >= 2, "inverse problems: %s samples, expected at least 2", samples);
        Preconditions.checkArgument(draws >= 1, "inverse problems: %s draws, expected at least 1", draws);
        Preconditions.checkArgument(steps >= 1, "inverse problems: %s steps, expected at least 1", steps);
    }

    /**
     * The posterior of one image. Spreads are root mean squares over numbers of the standard deviation of the samples.
     *
     * @param images the samples in [0, 1]: (samples, C, H, W)
     * @param truth χ²/n of the true image
     * @param fit mean χ²/n of the samples
     * @param observedSpread of the observed numbers A x
     * @param hiddenSpread of the pixels that A hides; of all pixels if it hides none
     */
    public record Result(Tensor images, double truth, double fit, double observedSpread, double hiddenSpread) {}

    /**
     * Samples one posterior.
     *
     * @param problem the observation, of λ = 1
     * @param truth the observed image in [0, 1]: (C, H, W)
     * @param condition label and guidance scale of each sample
     * @param index of the image in the run, from 0; gives it its own noise
     * @param listener called after every step
     * @return tensors in the innermost open scope
     * @throws IllegalArgumentException if problem, image, condition and map do not fit each other
     */
    public Result of(InverseProblem problem, Tensor truth, Condition condition, long index, SamplingListener listener) {
        Preconditions.checkNotNull(problem, "inverse problems: the problem is null");
        Preconditions.checkNotNull(condition, "inverse problems: the condition is null");
        Preconditions.checkNotNull(listener, "inverse problems: the listener is null");
        Preconditions.checkArgument(
                truth.shape().equals(map.itemShape()) && truth.dtype().isFloatingPoint(),
                "inverse problems: the true image is %s, expected the shape of the map's items, %s, of floating point",
                truth,
                map.itemShape());
        Preconditions.checkArgument(
                index >= 0 && index < MOST_IMAGES,
                "inverse problems: index is %s, expected 0 to %s",
                index,
                MOST_IMAGES - 1);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Decoder decoder = new PixelDecoder();
            ValueFunction value = new ValueFunction(map, new Tilt(problem, decoder, 1), draws);
            SteeredSampler sampler = new SteeredSampler(
                    new MonteCarloGradient(new NetworkDrift(map, false), value, Coefficient.PAPER),
                    TimeGrid.linspace(START, steps),
                    dynamics);
            KeyedNoise noise = KeyedNoise.of(seed, index * samples, samples, 1, map.itemShape(), device);
            Tensor images =
                    decoder.decode(sampler.sample(noise, condition, listener).samples());
            Tensor clean = truth.unsqueeze(0);
            Tensor seen = problem.measured(Torch.onesLike(clean));
            Tensor hidden = Torch.onesLike(clean);
            Tensor observed = Torch.onesLike(seen);
            // A measurement without a pixel's number gives 0 there for an image of ones.
            if (seen.shape().equals(clean.shape()) && seen.min().item() == 0) {
                hidden = seen.neg().add(1);
                observed = seen;
            }
            return new Result(
                    scope.keep(images),
                    problem.chiSquared(clean).item(),
                    problem.chiSquared(images).mean().item(),
                    spread(problem.measured(images), observed),
                    spread(images, hidden));
        }
    }

    /** Returns the root mean square of the standard deviation over the rows, where the mask is 1. */
    private static double spread(Tensor values, Tensor mask) {
        return Math.sqrt(
                values.sub(values.mean(0).unsqueeze(0)).square().mul(mask).sum().item()
                        / (values.size(0) - 1)
                        / mask.sum().item());
    }
}
