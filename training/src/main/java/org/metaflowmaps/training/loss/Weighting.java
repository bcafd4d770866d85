package org.metaflowmaps.training.loss;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;

/** Combines the squared errors Δ of items to one loss. */
public sealed interface Weighting {
    /**
     * Returns the mean loss over a batch, times the items' weights.
     *
     * @param pair the pair of the regression; only learned weightings use its times
     */
    LossValue apply(Regression regression, Pair pair);

    /** Mean over items of the summed square. */
    record L2() implements Weighting {
        @Override
        public LossValue apply(Regression regression, Pair pair) {
            Tensor squares = regression.squares();
            return regression.value(regression.mean(squares), squares);
        }
    }

    /** Mean over items of log(1 + mean square): large errors count by their logarithm. */
    record LogVariance() implements Weighting {
        @Override
        public LossValue apply(Regression regression, Pair pair) {
            Tensor squares = regression.squares();
            return regression.value(regression.mean(regression.perEntry(squares).log1p()), squares);
        }
    }

    /**
     * Δ / stop((Δ + c)^p), mean over items. With p = 1 every item has a gradient of about unit size; c is the error
     * below which an item has little effect (MeanFlow, arXiv 2505.13447).
     *
     * @param p how strongly large errors are reduced, 0 to 1
     * @param c the floor, above 0
     */
    record Adaptive(double p, double c) implements Weighting {
        /** Checks the ranges. */
        public Adaptive {
            Preconditions.checkArgument(p >= 0 && p <= 1, "adaptive weighting: p is %s, expected 0 to 1", p);
            Preconditions.checkArgument(c > 0, "adaptive weighting: c is %s, expected more than 0", c);
        }

        @Override
        public LossValue apply(Regression regression, Pair pair) {
            Tensor squares = regression.squares();
            Tensor scale;
            try (Autograd.Mode off = Autograd.noGrad()) {
                scale = squares.add(c).pow(p);
            }
            return regression.value(regression.mean(squares.div(scale)), squares);
        }
    }

    /**
     * e^(-ω)·(mean square) + ω for a learned ω(s, u, t), mean over items: all pairs of times get equal weight, whatever
     * the size of their errors.
     *
     * @param weight ω, trained together with the map by the same loss; not owned
     */
    record Learned(TimeWeight weight) implements Weighting {
        @Override
        public LossValue apply(Regression regression, Pair pair) {
            Tensor omega = weight.of(pair.start(), pair.end(), pair.context().time());
            Tensor squares = regression.squares();
            return regression.value(
                    regression.mean(
                            omega.neg().exp().mul(regression.perEntry(squares)).add(omega)),
                    squares);
        }
    }

    /**
     * log(e^(-ω)·(mean square) + c) + ω for a learned ω(s, u, t), mean over items: as {@link Learned}, but an error far
     * above its expectation counts only by its logarithm (as in decoupled MeanFlow).
     *
     * @param weight ω, trained together with the map by the same loss; not owned
     * @param c the floor, above 0: 0.01 in the public code
     */
    record LearnedLogarithm(TimeWeight weight, double c) implements Weighting {
        /** Checks the range. */
        public LearnedLogarithm {
            Preconditions.checkArgument(c > 0, "learned logarithmic weighting: c is %s, expected more than 0", c);
        }

        @Override
        public LossValue apply(Regression regression, Pair pair) {
            Tensor omega = weight.of(pair.start(), pair.end(), pair.context().time());
            Tensor squares = regression.squares();
            return regression.value(
                    regression.mean(omega.neg()
                            .exp()
                            .mul(regression.perEntry(squares))
                            .add(c)
                            .log()
                            .add(omega)),
                    squares);
        }
    }
}
