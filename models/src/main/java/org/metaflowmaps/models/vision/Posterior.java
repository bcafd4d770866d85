package org.metaflowmaps.models.vision;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Tensor;

/**
 * A normal distribution of latents with independent elements: what an {@link AutoencoderKL} encodes an image to.
 *
 * @param mean (batch, channels, height, width)
 * @param logVariance of the mean's shape, in [-30, 20]
 */
public record Posterior(Tensor mean, Tensor logVariance) {
    private static final double LEAST = -30;
    private static final double MOST = 20;

    /** Checks the shapes. */
    public Posterior {
        Preconditions.checkNotNull(mean, "posterior: mean is null");
        Preconditions.checkNotNull(logVariance, "posterior: logVariance is null");
        Preconditions.checkArgument(
                mean.dim() == 4 && mean.shape().equals(logVariance.shape()),
                "the mean is %s and the log-variance %s, expected (batch, channels, height, width) for both",
                mean,
                logVariance);
    }

    /**
     * Splits moments; log-variances outside [-30, 20] are clamped, as in Stable Diffusion.
     *
     * @param moments (batch, 2 · channels, height, width): means, then log-variances
     * @return tensors of the innermost open scope
     * @throws IllegalArgumentException for an odd number of channels
     */
    public static Posterior of(Tensor moments) {
        Preconditions.checkArgument(
                moments.dim() == 4 && moments.size(1) % 2 == 0,
                "moments are %s, expected (batch, 2 · channels, height, width)",
                moments);
        Tensor[] parts = moments.chunk(2, 1);
        return new Posterior(parts[0], parts[1].clampMin(LEAST).clampMax(MOST));
    }

    /** Returns the standard deviations, e^(logVariance / 2). */
    public Tensor std() {
        return logVariance.mul(0.5).exp();
    }

    /** Returns the variances, e^logVariance. */
    public Tensor variance() {
        return logVariance.exp();
    }

    /**
     * Returns a draw, mean + std · noise.
     *
     * @param noise standard normal, of the mean's shape, type and device
     */
    public Tensor sample(Tensor noise) {
        Preconditions.checkArgument(
                noise.shape().equals(mean.shape()), "noise is %s, expected the shape of the mean, %s", noise, mean);
        return mean.add(std().mul(noise));
    }

    /**
     * Returns the Kullback-Leibler divergence from the standard normal distribution, ½ Σ (mean² + variance - 1 -
     * logVariance), per item.
     *
     * @return (batch)
     */
    public Tensor divergence() {
        return mean.square()
                .add(variance())
                .sub(1)
                .sub(logVariance)
                .sum(1, 2, 3)
                .mul(0.5);
    }
}
