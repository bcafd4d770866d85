package org.metaflowmaps.training.loss;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;

/** How the squared error Δ of each item becomes one loss. */
public sealed interface Weighting {
    /**
     * A loss with the number to report beside it.
     *
     * @param loss what is differentiated, a scalar
     * @param raw the number that the public code reports beside it, a scalar without a gradient graph: the summed square for l2, the
     *     mean square for lv and the learned weightings, the loss itself for the adaptive weighting
     */
    record Weighted(Tensor loss, Tensor raw) {}

    /**
     * The mean loss over a batch, each item's times its pair's weight.
     *
     * @param pair where the regression was made; only the learned ones look at its times
     */
    Weighted apply(Regression regression, Pair pair);

    /** Mean over items of the summed square. */
    record L2() implements Weighting {
        @Override
        public Weighted apply(Regression regression, Pair pair) {
            Tensor loss = mean(summedSquare(regression), pair);
            return new Weighted(loss, loss.detach());
        }
    }

    /** Mean over items of log(1 + mean square): items far from the target count in proportion to their logarithm. */
    record LogVariance() implements Weighting {
        @Override
        public Weighted apply(Regression regression, Pair pair) {
            Tensor meanSquare = meanSquare(regression);
            return new Weighted(mean(meanSquare.log1p(), pair), mean(meanSquare.detach(), pair));
        }
    }

    /**
     * Δ / stop((Δ + c)^p), mean over items. With p = 1 every item has a gradient of about unit size; c sets the error below
     * which an item stops to matter (method of MeanFlow, arXiv 2505.13447).
     *
     * @param p how strongly large errors are held down, 0 to 1
     * @param c the floor, above 0
     */
    record Adaptive(double p, double c) implements Weighting {
        /** Checks the ranges. */
        public Adaptive {
            Preconditions.checkArgument(p >= 0 && p <= 1, "adaptive weighting: p is %s, expected 0 to 1", p);
            Preconditions.checkArgument(c > 0, "adaptive weighting: c is %s, expected more than 0", c);
        }

        @Override
        public Weighted apply(Regression regression, Pair pair) {
            Tensor error = summedSquare(regression);
            Tensor scale;
            try (Autograd.Mode off = Autograd.noGrad()) {
                scale = error.add(c).pow(p);
            }
            Tensor loss = mean(error.div(scale), pair);
            return new Weighted(loss, loss.detach());
        }
    }

    /**
     * e^(-ω)·(mean square) + ω for a learned ω(s, u, t), mean over items: every pair of times ends up counting alike, whatever the
     * size of its errors.
     *
     * @param weight ω, trained beside the map by the same loss; not owned
     */
    record Learned(TimeWeight weight) implements Weighting {
        @Override
        public Weighted apply(Regression regression, Pair pair) {
            Tensor meanSquare = meanSquare(regression);
            Tensor omega = weight.of(pair.start(), pair.end(), pair.context().time());
            return new Weighted(mean(omega.neg().exp().mul(meanSquare).add(omega), pair), mean(meanSquare.detach(), pair));
        }
    }

    /**
     * log(e^(-ω)·(mean square) + c) + ω for a learned ω(s, u, t), mean over items: as {@link Learned}, but an error far above what is
     * expected counts by its logarithm only (decoupled MeanFlow's).
     *
     * @param weight ω, trained beside the map by the same loss; not owned
     * @param c the floor, above 0: 0.01 in the public code
     */
    record LearnedLogarithm(TimeWeight weight, double c) implements Weighting {
        /** Checks the range. */
        public LearnedLogarithm {
            Preconditions.checkArgument(c > 0, "learned logarithmic weighting: c is %s, expected more than 0", c);
        }

        @Override
        public Weighted apply(Regression regression, Pair pair) {
            Tensor meanSquare = meanSquare(regression);
            Tensor omega = weight.of(pair.start(), pair.end(), pair.context().time());
            return new Weighted(mean(omega.neg().exp().mul(meanSquare).add(c).log().add(omega), pair), mean(meanSquare.detach(), pair));
        }
    }

    private static Tensor mean(Tensor losses, Pair pair) {
        return (pair.weights() == null ? losses : losses.mul(pair.weights())).mean();
    }

    private static Tensor summedSquare(Regression regression) {
        return regression.prediction().sub(regression.target()).square().reshape(regression.target().size(0), -1).sum(false, 1);
    }

    private static Tensor meanSquare(Regression regression) {
        return summedSquare(regression).mul((double) regression.target().size(0) / regression.target().numel());
    }
}
