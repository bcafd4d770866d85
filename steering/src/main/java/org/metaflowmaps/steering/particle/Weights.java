package org.metaflowmaps.steering.particle;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Arithmetic of log-weights (items, M), float64, on their device; each item by itself. Nothing is read back. */
final class Weights {
    /** The largest double below 1. */
    private static final double BELOW_ONE = Math.nextDown(1.0);

    private Weights() {}

    /** Returns true where every weight of an item is 0: (items). */
    static Tensor dead(Tensor logWeights) {
        return logWeights.amax(1).eq(Double.NEGATIVE_INFINITY);
    }

    /** Returns (Σw)²/Σw²: (items); 0 for an item whose weights all are. */
    static Tensor effectiveSize(Tensor logWeights) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor size = logWeights
                    .logsumexp(1)
                    .mul(2)
                    .sub(logWeights.mul(2).logsumexp(1))
                    .exp();
            return scope.keep(size.maskedFill(dead(logWeights), 0));
        }
    }

    /** Returns the weights divided by their sum; equal ones for an item whose weights all are 0. */
    static Tensor normalised(Tensor logWeights) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(
                    logWeights.logSoftmax(1).maskedFill(dead(logWeights).unsqueeze(1), -Math.log((double)
                            logWeights.size(1))));
        }
    }

    /**
     * Resamples systematically: each of the points (u + k)/M takes the particle in whose share it is.
     *
     * @param uniform u: (items) in [0, 1)
     * @return the particle's ancestor in its item: (items, M), int64
     */
    static Tensor systematic(Tensor logWeights, Tensor uniform) {
        try (TensorScope scope = TensorScope.open()) {
            long count = logWeights.size(1);
            Tensor places = Torch.arange(count, logWeights.device()).to(DType.FLOAT64);
            Tensor points = uniform.unsqueeze(1)
                    .add(places.unsqueeze(0))
                    .div((double) count)
                    .clampMax(BELOW_ONE);
            return scope.keep(chosen(logWeights, points));
        }
    }

    /** Returns one particle of each item by its weight: (items), int64. */
    static Tensor one(Tensor logWeights, Tensor uniform) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(chosen(logWeights, uniform.unsqueeze(1)).squeeze(1));
        }
    }

    /** Returns the particle whose share of [0, 1) has each point, by comparison with all: (items, points). A weight of 0 is never chosen. */
    private static Tensor chosen(Tensor logWeights, Tensor points) {
        Tensor shares = logWeights.sub(logWeights.amaxKeepDim(1)).exp();
        Tensor sums = shares.cumsum(1);
        // The last sum becomes exactly 1, above every point.
        Tensor ends = sums.div(sums.narrow(1, sums.size(1) - 1, 1));
        return ends.unsqueeze(1).le(points.unsqueeze(2)).sum(2).to(DType.INT64);
    }

    /** Returns how many different numbers each item has: (items), int64. */
    static Tensor distinct(Tensor numbers) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor sorted = numbers.sort(1).values();
            long rest = sorted.size(1) - 1;
            if (rest == 0) {
                return scope.keep(Torch.onesLike(numbers.select(1, 0)));
            }
            return scope.keep(sorted.narrow(1, 1, rest)
                    .ne(sorted.narrow(1, 0, rest))
                    .sum(1)
                    .add(1)
                    .to(DType.INT64));
        }
    }
}
