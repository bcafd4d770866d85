package org.metaflowmaps.steering;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.steering.GaussianMap.DEVIATION;
import static org.metaflowmaps.steering.GaussianMap.MEAN;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.steering.evaluation.MixtureEvaluation;
import org.metaflowmaps.steering.evaluation.MixtureEvaluation.Distance;
import org.metaflowmaps.steering.evaluation.MixtureEvaluation.Settings;

/** The exact map of a Gaussian reaches the floor; the distance of another Gaussian's map is that of its posteriors. */
final class MixtureEvaluationTest {
    private static final Settings SETTINGS = new Settings(List.of(0.2, 0.7), 24, 400, 32, true, 5);

    /** Returns the law of {@link GaussianMap} with a shift; the caller closes it. */
    private static GaussianMixture law(double shift) {
        double[][] covariance = {{DEVIATION[0] * DEVIATION[0], 0}, {0, DEVIATION[1] * DEVIATION[1]}};
        return new GaussianMixture(
                List.of(1.0),
                List.of(new double[] {MEAN[0] + shift, MEAN[1]}),
                List.<double[][]>of(covariance),
                Device.CPU);
    }

    @Test
    void anExactMapIsAtTheFloorAndEulerStepsComeToIt() {
        long live = NativeMemory.liveTensors();
        try (GaussianMixture mixture = law(0);
                GaussianMap map = new GaussianMap();
                MixtureEvaluation evaluation = new MixtureEvaluation(mixture, SETTINGS)) {
            Map<Integer, List<Distance>> steps = evaluation.map(map, List.of(1, 3));
            Map<Integer, List<Distance>> glass = evaluation.glass(List.of(2, 64));
            for (int i = 0; i < SETTINGS.times().size(); i++) {
                Distance floor = evaluation.floor().get(i);
                assertTrue(floor.slicedWasserstein() > 0);
                for (List<Distance> exact : steps.values()) {
                    assertEquals(
                            1, exact.get(i).slicedWasserstein() / floor.slicedWasserstein(), 0.25, "map over floor");
                    assertEquals(0, exact.get(i).squaredDiscrepancy(), 2e-3, "MMD");
                }
                double coarse = at(glass, 2).get(i).slicedWasserstein();
                double fine = at(glass, 64).get(i).slicedWasserstein();
                assertTrue(
                        coarse > 2 * floor.slicedWasserstein(),
                        "two Euler steps: " + coarse + ", floor " + floor.slicedWasserstein());
                assertEquals(1, fine / floor.slicedWasserstein(), 0.25, "64 Euler steps over floor");
                assertTrue(at(glass, 2).get(i).squaredDiscrepancy() > 2e-3, "MMD of two Euler steps");
            }
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static List<Distance> at(Map<Integer, List<Distance>> all, int steps) {
        return Objects.requireNonNull(all.get(steps));
    }

    /** The prior's shift c moves the posterior's mean by c·(1-t)²/((1-t)² + t²S²), and sliced W2 sees 1/√2 of it. */
    @Test
    void aMapOfAnotherLawIsAsFarOffAsItsPosteriors() {
        double shift = 5;
        Settings settings = new Settings(SETTINGS.times(), 8, 400, 512, false, 6);
        try (GaussianMixture mixture = law(shift);
                GaussianMap map = new GaussianMap();
                MixtureEvaluation evaluation = new MixtureEvaluation(mixture, settings)) {
            List<Distance> distances = at(evaluation.map(map, List.of(1)), 1);
            for (int i = 0; i < distances.size(); i++) {
                double t = settings.times().get(i);
                double noise = (1 - t) * (1 - t);
                double expected = shift * noise / (noise + t * t * DEVIATION[0] * DEVIATION[0]) / Math.sqrt(2);
                assertEquals(1, distances.get(i).slicedWasserstein() / expected, 0.12, "t = " + t);
                assertTrue(Double.isNaN(distances.get(i).squaredDiscrepancy()));
            }
        }
    }

    @Test
    void whatCannotBeEvaluatedIsRefused() {
        assertSays(() -> new Settings(List.of(1.0), 1, 2, 1, false, 1), "from 0 to below 1");
        assertSays(() -> new Settings(List.of(), 1, 2, 1, false, 1), "at least one");
        assertSays(() -> new Settings(List.of(0.5), 0, 2, 1, false, 1), "0 contexts");
        assertSays(() -> new Settings(List.of(0.5), 1, 1, 1, false, 1), "1 draws");
        try (GaussianMixture line = new GaussianMixture(
                        List.of(1.0),
                        List.of(new double[] {0}),
                        List.<double[][]>of(new double[][] {{1}}),
                        Device.CPU);
                GaussianMap map = new GaussianMap();
                MixtureEvaluation evaluation =
                        new MixtureEvaluation(line, new Settings(List.of(0.5), 1, 2, 1, false, 1))) {
            assertSays(() -> evaluation.map(map, List.of(1)), "shape [2], the mixture has 1 coordinates");
        }
    }

    private static void assertSays(Runnable action, String part) {
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, action::run).getMessage());
        assertTrue(message.contains(part), message);
    }
}
