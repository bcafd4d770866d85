package org.metaflowmaps.models.sampler;

import com.google.common.base.Preconditions;
import java.time.Duration;
import org.metaflowmaps.runtime.Tensor;

/**
 * Samples and their cost.
 *
 * @param samples (B, item shape) unless the method says otherwise; in the scope that was innermost when they were drawn
 * @param evaluations network evaluations per sample, the paper's NFE: an evaluation of a whole batch counts once,
 *     guidance with two evaluations twice
 * @param time from the call to its return; a GPU may still be computing then
 */
public record SampleResult(Tensor samples, long evaluations, Duration time) {
    /** Checks the range. */
    public SampleResult {
        Preconditions.checkArgument(evaluations >= 0, "sample result: %s evaluations, expected 0 or more", evaluations);
    }
}
