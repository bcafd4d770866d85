package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import java.util.function.DoubleUnaryOperator;

/**
 * A factor of λ in the potentials before the end, so that early, coarse estimates select less. The last potential always has factor 1, so
 * the law stays the tilted one.
 */
public sealed interface Tempering {
    /** Factor 1 throughout. */
    Tempering NONE = new Fixed(time -> 1);

    /**
     * A function of time. The normaliser stays unbiased.
     *
     * @param factor of time t in [0, 1): finite, 0 or more
     */
    record Fixed(DoubleUnaryOperator factor) implements Tempering {
        /** Checks for null. */
        public Fixed {
            Preconditions.checkNotNull(factor, "tempering: the function of time is null");
        }
    }

    /**
     * For each item the largest factor, at least the step's before and at most 1, that leaves the effective sample size at a share of the
     * particles. It depends on the particles, so that the normaliser is consistent in their number, but not exactly unbiased.
     *
     * @param share of the particles, above 0 and below 1
     */
    record Adaptive(double share) implements Tempering {
        /** Checks the range. */
        public Adaptive {
            Preconditions.checkArgument(
                    share > 0 && share < 1,
                    "tempering: share of the particles is %s, expected above 0 and below 1",
                    share);
        }
    }
}
