package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.particle.MixtureFilter.Summary;
import org.metaflowmaps.steering.value.Coefficient;

/** Ẑ and the tilted law of the mixture of the paper's experiment in two dimensions (F.1) are those of the formulas. */
final class ParticleFilterTest {
    static final double[] THRESHOLDS = {0, 0.5, 0.9, 1};

    static void check(ParticleFilter filter, int runs, double bound, String what) {
        long begin = System.nanoTime();
        Summary found = MixtureFilter.runs(filter, 3, runs, 100);
        System.out.printf(
                "%s: Z %.5f (s.e. %.5f) ratio %.4f, shares %.4f %.4f %.4f (s.e. %.4f), drawn %.3f %.3f %.3f, %.1f s%n",
                what,
                found.mean(),
                found.error(),
                found.mean() / MixtureFilter.NORMALISER,
                found.shares().get(0),
                found.shares().get(1),
                found.shares().get(2),
                found.shareError(),
                found.drawn().get(0),
                found.drawn().get(1),
                found.drawn().get(2),
                (System.nanoTime() - begin) * 1e-9);
        double allowed = Math.max(0.01 * MixtureFilter.NORMALISER, bound * found.error());
        assertEquals(MixtureFilter.NORMALISER, found.mean(), allowed, what);
        for (int k = 0; k < 3; k++) {
            double share = MixtureFilter.SHARES[k];
            assertEquals(
                    share, found.shares().get(k), Math.max(0.01, bound * found.shareError()), what + " share " + k);
            // The draws vary as runs independent samples, which the runs' unequal Z makes fewer.
            double chance = Math.sqrt(share * (1 - share) / runs);
            assertEquals(share, found.drawn().get(k), 6 * chance, what + " drawn " + k);
        }
    }

    @Test
    void theNormaliserIsThatOfTheFormula() {
        try (MixtureFilter mixture = new MixtureFilter()) {
            for (double threshold : THRESHOLDS) {
                check(mixture.filter(threshold, Tempering.NONE), 60, 4, "threshold " + threshold);
            }
        }
    }

    /** The constants of these tests are those of the mixture's formulas. λ scales the reward's variance. */
    @Test
    void theReferenceIsExact() {
        LinearGaussianReward reward =
                new LinearGaussianReward(new double[] {1.2, -0.8}, -1, 0.2 / Math.sqrt(MixtureFilter.STRENGTH));
        try (MixtureFilter mixture = new MixtureFilter();
                TensorScope scope = TensorScope.open();
                GaussianMixture tilted = reward.tilted(mixture.data)) {
            Tensor start = Torch.zeros(DType.FLOAT64, Device.CPU, 1, 2);
            double value = reward.value(mixture.data, Torch.of(new double[] {0}), start)
                    .item();
            assertEquals(MixtureFilter.NORMALISER, Math.exp(value), 1e-6);
            assertArrayEquals(MixtureFilter.SHARES, tilted.weights(), 1e-4);
        }
    }

    /** The last potential has the whole λ, so that tempering before it moves neither Ẑ nor the law. */
    @Test
    void temperingKeepsTheNormaliser() {
        try (MixtureFilter mixture = new MixtureFilter()) {
            check(mixture.filter(0.8, new Tempering.Fixed(t -> t)), 60, 4, "factor t");
            check(mixture.filter(0.8, new Tempering.Adaptive(0.7)), 60, 4, "adaptive factor");
        }
    }

    /** The steps of the diffusion, free and guided, with potentials of the denoiser: the ratio of transitions keeps Ẑ. */
    @Test
    void twistedDiffusionHasTheNormaliser() {
        Coefficient memoryless = new Coefficient(Double.POSITIVE_INFINITY);
        TimeGrid grid = TimeGrid.uniform(25);
        try (MixtureFilter mixture = new MixtureFilter()) {
            Drift drift = mixture.data.uncheckedDrift();
            check(ParticleFilter.twistedDiffusion(drift, mixture.tilt, grid, 64, 0.5), 200, 4, "guided steps");
            check(
                    new ParticleFilter(
                            Potential.twisted(drift, mixture.tilt, memoryless),
                            new Transition.EulerMaruyama(drift, memoryless),
                            grid,
                            64,
                            0.5),
                    200,
                    4,
                    "free steps");
        }
    }
}
