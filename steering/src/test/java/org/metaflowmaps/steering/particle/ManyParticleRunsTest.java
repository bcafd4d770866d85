package org.metaflowmaps.steering.particle;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Checks of {@link ParticleFilterTest} with the runs that 1 % takes. */
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
}
