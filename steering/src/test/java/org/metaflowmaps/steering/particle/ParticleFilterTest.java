package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.steering.particle.MixtureFilter.Summary;

/** Ẑ and the tilted law of the mixture of results.md §4 are those of the formulas. */
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
                found.shares()[0],
                found.shares()[1],
                found.shares()[2],
                found.shareError(),
                found.drawn()[0],
                found.drawn()[1],
                found.drawn()[2],
                (System.nanoTime() - begin) * 1e-9);
        double allowed = Math.max(0.01 * MixtureFilter.NORMALISER, bound * found.error());
        assertEquals(MixtureFilter.NORMALISER, found.mean(), allowed, what);
        for (int k = 0; k < 3; k++) {
            double share = MixtureFilter.SHARES[k];
            assertEquals(share, found.shares()[k], Math.max(0.01, bound * found.shareError()), what + " share " + k);
            // The draws vary as runs independent samples, which the runs' unequal Z makes fewer.
            double chance = Math.sqrt(share * (1 - share) / runs);
            assertEquals(share, found.drawn()[k], 6 * chance, what + " drawn " + k);
        }
    }

    @Test
    void theNormaliserIsThatOfTheFormula() {
        try (MixtureFilter mixture = new MixtureFilter()) {
            for (double threshold : THRESHOLDS) {
                check(mixture.filter(threshold, Tempering.NONE), 100, 4, "threshold " + threshold);
            }
        }
    }

    /** The last potential has the whole λ, so that tempering before it moves neither Ẑ nor the law. */
    @Test
    void temperingKeepsTheNormaliser() {
        try (MixtureFilter mixture = new MixtureFilter()) {
            for (Tempering tempering : List.of(new Tempering.Fixed(t -> t), new Tempering.Adaptive(0.7))) {
                check(mixture.filter(0.8, tempering), 100, 4, tempering.toString());
            }
        }
    }
}
