package org.metaflowmaps.steering.sampler;

import java.time.Duration;
import java.util.Optional;
import org.metaflowmaps.runtime.Tensor;

/**
 * Samples of a tilted law and their cost. Its tensors are in the scope that was innermost when they were drawn.
 *
 * @param samples (rows, item shape)
 * @param rewards r of each sample, without λ: (rows); empty if the sampler scores none
 * @param trace of the steps; empty unless the sampler is traced
 * @param evaluations network evaluations per sample, counted as in the paper (method §8.4), without scoring the final
 *     samples
 * @param time from the call to its return; a GPU may still be computing then
 */
public record SteeredResult(
        Tensor samples, Optional<Tensor> rewards, Optional<SteeringTrace> trace, long evaluations, Duration time) {}
