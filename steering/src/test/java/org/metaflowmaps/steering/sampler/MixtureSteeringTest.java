package org.metaflowmaps.steering.sampler;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.steering.sampler.MixtureSteering.Method;
import org.metaflowmaps.steering.value.Coefficient;

/**
 * Steered samples of the mixture of the paper's experiment in two dimensions (F.1) with its exact map: their sliced W2 distance from the exact tilted
 * law equals the reference. c_t = (1 - t)/t is not clamped here, neither in estimators nor in the diffusion: DPS along
 * the ODE gives 3.09 without the clamp, as the reference, and 2.82 with the clamp at 25 of method §7.
 */
final class MixtureSteeringTest {
    private static final Coefficient UNCLAMPED = new Coefficient(Double.POSITIVE_INFINITY);
    private static final int[] DRAWS = {1, 2, 4, 8, 16, 32};

    /** One reference value. */
    private record Cell(Method method, boolean ode, int draws, double reference) {}

    private static List<Cell> cells() {
        List<Cell> cells = new ArrayList<>();
        add(cells, Method.MFM_G, true, 4.18, 3.12, 2.22, 1.53, 0.76, 0.17);
        add(cells, Method.MFM_GF, true, 2.02, 0.99, 0.57, 0.32, 0.27, 0.26);
        add(cells, Method.GF_EXACT_D, true, 1.88, 1.11, 0.65, 0.29, 0.18, 0.31);
        add(cells, Method.MFM_G, false, 2.04, 1.80, 1.42, 1.00, 0.70, 0.55);
        add(cells, Method.MFM_GF, false, 1.99, 0.93, 0.63, 0.26, 0.27);
        add(cells, Method.GF_EXACT_D, false, 2.02, 1.21, 0.61, 0.28, 0.23);
        add(cells, Method.DPS, true, 3.09);
        add(cells, Method.DPS, false, 1.51);
        // Run the quick ones first, because each is printed at its end.
        cells.sort(Comparator.comparingInt(Cell::draws));
        return cells;
    }

    private static void add(List<Cell> cells, Method method, boolean ode, double... references) {
        for (int i = 0; i < references.length; i++) {
            cells.add(new Cell(method, ode, DRAWS[i], references[i]));
        }
    }

    private static Dynamics dynamics(boolean ode) {
        return ode ? new Dynamics.Ode(Solver.EULER) : new Dynamics.Sde(UNCLAMPED, false);
    }

    /** With ∇V by formula both dynamics give the tilted law up to the floor of two samples, about 0.2. */
    @Test
    void theExactGradientGivesTheTiltedLaw() {
        try (MixtureSteering mixture = new MixtureSteering()) {
            for (boolean ode : new boolean[] {true, false}) {
                double found =
                        mixture.distance(mixture.estimator(Method.EXACT, 1, UNCLAMPED), dynamics(ode), 250, 2000, 1);
                assertTrue(found < 0.3, (ode ? "ODE " : "SDE ") + found);
            }
        }
    }

    /** Some cells with few samples and steps, which raise the distances a little. */
    @Test
    void someCellsAreNearTheReferences() {
        try (MixtureSteering mixture = new MixtureSteering()) {
            for (Cell cell : cells()) {
                // MFM-G with one draw along the ODE is at 5.2 with 100 steps, because its estimates are too steep for
                // 100 steps.
                boolean one = cell.draws() == 1 && !(cell.method() == Method.MFM_G && cell.ode());
                if (one || (cell.draws() == 8 && !cell.ode())) {
                    double found = distance(mixture, cell, 100, 600, 1);
                    assertEquals(cell.reference(), found, 0.35, cell.toString());
                }
            }
        }
    }

    private static double distance(MixtureSteering mixture, Cell cell, int steps, int count, int seed) {
        return mixture.distance(
                mixture.estimator(cell.method(), cell.draws(), UNCLAMPED), dynamics(cell.ode()), steps, count, seed);
    }

    /**
     * In every cell the mean of five seeds differs from the reference by at most 0.3 or three standard errors. The
     * reference is one run of 600 samples.
     */
    @Test
    @Tag("soak")
    void everyCellIsTheReference() {
        List<String> off = new ArrayList<>();
        try (MixtureSteering mixture = new MixtureSteering()) {
            System.out.println("method dynamics N reference mean s.e. seconds");
            for (Cell cell : cells()) {
                long begin = System.nanoTime();
                double sum = 0;
                double squares = 0;
                int seeds = 5;
                for (int seed = 1; seed <= seeds; seed++) {
                    double found = distance(mixture, cell, 250, 4096, seed);
                    sum += found;
                    squares += found * found;
                }
                double mean = sum / seeds;
                double error = Math.sqrt((squares - seeds * mean * mean) / (seeds - 1) / seeds);
                boolean within = Math.abs(mean - cell.reference()) <= Math.max(0.3, 3 * error);
                String line = String.format(
                        Locale.ROOT,
                        "%-10s %s %2d  %.2f  %.3f %.3f %s %.0f",
                        cell.method(),
                        cell.ode() ? "ODE" : "SDE",
                        cell.draws(),
                        cell.reference(),
                        mean,
                        error,
                        within ? "" : "OFF",
                        (System.nanoTime() - begin) * 1e-9);
                System.out.println(line);
                if (!within) {
                    off.add(line);
                }
            }
        }
        assertEquals(List.of(), off);
    }
}
