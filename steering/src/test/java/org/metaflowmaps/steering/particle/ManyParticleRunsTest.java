package org.metaflowmaps.steering.particle;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.steering.value.Coefficient;

/** Checks of {@link ParticleFilterTest} with the runs that 1 % takes, and figures for the manual. */
@Tag("soak")
final class ManyParticleRunsTest {
    @Test
    void theNormaliserIsWithinOnePercent() {
        try (MixtureFilter mixture = new MixtureFilter()) {
            for (double threshold : ParticleFilterTest.THRESHOLDS) {
                ParticleFilterTest.check(mixture.filter(threshold, Tempering.NONE), 2000, 0, "threshold " + threshold);
            }
        }
    }

    /** Prints how far Euler and Maruyama's steps are from the exact transition. */
    @Test
    void stepsOfTheDiffusion() {
        try (MixtureFilter mixture = new MixtureFilter()) {
            for (int steps : new int[] {10, 25, 100, 250}) {
                Coefficient all = new Coefficient(Double.POSITIVE_INFINITY);
                MixtureFilter.Summary twisted = MixtureFilter.runs(
                        ParticleFilter.twistedDiffusion(
                                mixture.data.uncheckedDrift(), mixture.tilt, TimeGrid.uniform(steps), 64, 0.5),
                        3,
                        200,
                        200);
                MixtureFilter.Summary free = MixtureFilter.runs(
                        new ParticleFilter(
                                Potential.twisted(mixture.data.uncheckedDrift(), mixture.tilt, all),
                                new Transition.EulerMaruyama(mixture.data.uncheckedDrift(), all),
                                TimeGrid.uniform(steps),
                                64,
                                0.5),
                        3,
                        200,
                        200);
                System.out.println(steps + " steps: guided " + twisted.mean() / MixtureFilter.NORMALISER + " s.e. "
                        + twisted.error() / MixtureFilter.NORMALISER + ", free "
                        + free.mean() / MixtureFilter.NORMALISER + " s.e. "
                        + free.error() / MixtureFilter.NORMALISER + " shares " + java.util.Arrays.toString(twisted.shares()) + java.util.Arrays.toString(free.shares()));
            }
        }
    }
}
