package org.metaflowmaps.steering.value;

import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The random numbers of a steered sampler. A row is one particle of one item; rows of an item are consecutive: row =
 * index of the item in the batch · particles + particle.
 */
public interface SteeringNoise {
    /** The purpose of numbers; each use has different numbers. */
    enum Use {
        /** The start of a sampler. */
        START(0),
        /** One-step posterior draws of the value function. */
        DRAW(1),
        /** The diffusion of stochastic dynamics. */
        DIFFUSION(2),
        /** The posterior draw or the re-noising of a transition. */
        TRANSITION(3),
        /** The uniform numbers of resampling. */
        RESAMPLING(4);

        private final int code;

        Use(int code) {
            this.code = code;
        }

        /** The number in the keys of {@link KeyedNoise}. Do not change it: samples of a seed would change. */
        int code() {
            return code;
        }
    }

    /**
     * Returns standard normal numbers for every row.
     *
     * @param use their purpose
     * @param step of the sampler, from 0
     * @param first number of the first draw, from 0
     * @param draws the number of draws, at least 1
     * @return (rows, draws, item shape), in the innermost open scope
     */
    Tensor normal(Use use, int step, int first, int draws);

    /**
     * Returns one uniform number in [0, 1) for every item.
     *
     * @param use their purpose
     * @param step of the sampler, from 0
     * @return (items), float64, in the innermost open scope
     */
    Tensor uniform(Use use, int step);

    /** Returns one draw for every row: (rows, item shape), in the innermost open scope. */
    default Tensor normal(Use use, int step) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(normal(use, step, 0, 1).select(1, 0));
        }
    }

    /** Returns a row's name for messages, such as "item 12, particle 3". */
    default String row(long row) {
        return "row " + row;
    }
}
