package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Tensor;

/** Checks that two batches of samples can be compared. */
final class Samples {
    private Samples() {}

    /** Checks for (groups, n, d) of equal shape, floating point, on one device, with n at least {@code least}. */
    static void check(String metric, Tensor first, Tensor second, int least) {
        Preconditions.checkArgument(
                first.dim() == 3 && first.shape().equals(second.shape()),
                "%s: samples are %s and %s, expected two of the same shape (groups, n, d)",
                metric,
                first,
                second);
        Preconditions.checkArgument(
                first.dtype().isFloatingPoint()
                        && second.dtype().isFloatingPoint()
                        && first.device().equals(second.device()),
                "%s: samples are %s and %s, expected floating point on one device",
                metric,
                first,
                second);
        Preconditions.checkArgument(
                first.size(0) > 0 && first.size(1) >= least && first.size(2) > 0,
                "%s: samples are %s, expected at least %s in a group",
                metric,
                first,
                least);
    }
}
