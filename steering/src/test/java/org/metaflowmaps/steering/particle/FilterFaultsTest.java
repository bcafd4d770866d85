package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.steering.particle.PlainFilter.Fault;

/**
 * The faults of public filters move Ẑ on the mixture so far that {@link ParticleFilterTest} would see each of them: Ẑ/Z is known.
 */
final class FilterFaultsTest {
    private static double ratio(Fault fault, double threshold) {
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(5);
        PlainFilter filter = new PlainFilter(fault, threshold, random);
        int runs = 300;
        double sum = 0;
        for (int i = 0; i < runs; i++) {
            sum += filter.run();
        }
        double ratio = sum / runs / MixtureFilter.NORMALISER;
        System.out.printf("%s, threshold %s: Z ratio %.3f%n", fault, threshold, ratio);
        return ratio;
    }

    @Test
    void thePlainFilterIsRight() {
        for (double threshold : ParticleFilterTest.THRESHOLDS) {
            assertEquals(1, ratio(Fault.NONE, threshold), 0.03);
        }
    }

    @Test
    void droppedWeightsShow() {
        assertEquals(2.29, ratio(Fault.WEIGHTS_DROPPED, 0.9), 0.1);
    }

    @Test
    void aForgottenFirstPotentialShows() {
        assertEquals(2.25, ratio(Fault.FIRST_FORGOTTEN, 0.5), 0.1);
    }

    @Test
    void redrawnPotentialsShow() {
        assertEquals(1.83, ratio(Fault.REDRAWN, 0.5), 0.1);
    }

    @Test
    void aMissingCountShows() {
        assertEquals(64, ratio(Fault.COUNT_MISSING, 0), 2);
        assertTrue(ratio(Fault.COUNT_MISSING, 1) > 1e10);
    }
}
