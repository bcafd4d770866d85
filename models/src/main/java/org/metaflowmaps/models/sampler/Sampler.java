package org.metaflowmaps.models.sampler;

import java.util.concurrent.CancellationException;
import org.metaflowmaps.runtime.Tensor;

/**
 * Turns noise into samples.
 *
 * @param <G> what samples are conditioned on: a {@link org.metaflowmaps.models.model.Condition} for samples of the
 *     data, a {@link org.metaflowmaps.models.model.Context} for samples of the posterior of a noisy state
 */
@FunctionalInterface
public interface Sampler<G> {
    /**
     * Draws one sample for each item of the noise.
     *
     * @param noise standard normal: (B, item shape)
     * @param given labels, guidance scales and, for posteriors, noisy states of the B items
     * @param listener called after every step; may cancel
     * @return samples (B, item shape) in the innermost open scope
     * @throws CancellationException if the listener cancels; all tensors are freed then
     * @throws IllegalArgumentException if shapes, types, devices, labels or scales do not fit
     */
    SampleResult sample(Noise noise, G given, SamplingListener listener);

    /** Draws without a listener: see {@link #sample(Noise, Object, SamplingListener)}. */
    default SampleResult sample(Noise noise, G given) {
        return sample(noise, given, SamplingListener.NONE);
    }

    /**
     * Draws from one given noise (B, item shape), for samplers that add none: see
     * {@link #sample(Noise, Object, SamplingListener)}.
     */
    default SampleResult sample(Tensor noise, G given) {
        return sample(Noise.of(noise), given);
    }
}
