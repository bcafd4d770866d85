package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Tensor;

/** Checks two sets of feature vectors. */
final class FeatureRows {
    private FeatureRows() {}

    /** Checks for (N, width) and (M, width), floating point, with at least some rows each. */
    static void check(String metric, Tensor first, Tensor second, int least) {
        Preconditions.checkArgument(
                first.dim() == 2
                        && second.dim() == 2
                        && first.size(1) == second.size(1)
                        && first.size(1) > 0
                        && first.dtype().isFloatingPoint()
                        && second.dtype().isFloatingPoint(),
                "%s: features are %s and %s, expected floating point of shapes of (N, width) and (M, width)",
                metric,
                first,
                second);
        Preconditions.checkArgument(
                Math.min(first.size(0), second.size(0)) >= least,
                "%s: there are %s and %s feature vectors, expected at least %s of each",
                metric,
                first.size(0),
                second.size(0),
                least);
    }
}
