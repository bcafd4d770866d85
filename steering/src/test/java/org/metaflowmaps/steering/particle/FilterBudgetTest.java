package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.HostReads;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.value.ValueFunction;

/** Filters within budgets: their evaluations, their steps, and that they are filters of fewer steps. */
final class FilterBudgetTest {
    private static final int PARTICLES = 6;
    private static final int DRAWS = 4;
    /** Of a step: the draws with their scores, and the transition. */
    private static final long STEP = PARTICLES * (2L * DRAWS + 1);

    private final long live = NativeMemory.liveTensors();
    private final MixtureFilter mixture = new MixtureFilter();
    private final TensorScope scope = TensorScope.open();

    @AfterEach
    void nothingIsLeftBehind() {
        scope.close();
        mixture.close();
        assertEquals(live, NativeMemory.liveTensors());
    }

    private ParticleFilter filter(TimeGrid grid) {
        return new ParticleFilter(
                Potential.of(new ValueFunction(mixture.map, mixture.tilt, DRAWS)),
                new Transition.PosteriorDraw(mixture.map),
                grid,
                PARTICLES,
                0.9,
                new Tempering.Adaptive(0.5));
    }

    private ParticleResult run(ParticleFilter filter, Budget budget) {
        return filter.run(MixtureFilter.noise(8, 0, 2, PARTICLES), Condition.none(), budget, SamplingListener.NONE);
    }

    private static void assertEqual(ParticleResult expected, ParticleResult found) {
        assertEquals(expected.evaluations(), found.evaluations());
        List<Tensor> all = records(expected);
        for (int i = 0; i < all.size(); i++) {
            assertEquals(all.get(i).shape(), records(found).get(i).shape());
            assertArrayEquals(all.get(i).toDoubleArray(), records(found).get(i).toDoubleArray(), 0);
        }
    }

    private static List<Tensor> records(ParticleResult result) {
        return List.of(
                result.samples(),
                result.logWeights(),
                result.logNormaliser(),
                result.effectiveSize(),
                result.ancestors(),
                result.survivors(),
                result.factors());
    }

    @Test
    void evaluationsPayForTheMostSteps() {
        TimeGrid grid = TimeGrid.uniform(8);
        for (int steps : new int[] {1, 3, 7}) {
            for (long rest : new long[] {0, STEP - 1}) {
                long budget = steps * STEP + PARTICLES + rest;
                ParticleResult found = run(filter(grid), Budget.ofEvaluations(budget));
                assertEquals(steps * STEP + PARTICLES, found.evaluations());
                assertEqual(run(filter(grid.thinned(steps)), Budget.NONE), found);
            }
        }
        assertEqual(run(filter(grid), Budget.NONE), run(filter(grid), Budget.ofEvaluations(8 * STEP + PARTICLES)));
        assertRefused(
                () -> run(filter(grid), Budget.ofEvaluations(STEP + PARTICLES - 1)),
                "the budget is 59 evaluations, but 6 particles with one step cost 60");
    }

    @Test
    void secondsLengthenTheStepsLeft() {
        TimeGrid grid = TimeGrid.uniform(8);
        Clock clock = new Clock(1);
        ParticleResult found = filter(grid)
                .run(MixtureFilter.noise(8, 0, 2, PARTICLES), Condition.none(), Budget.ofSeconds(5), clock, clock);
        assertEquals(5, clock.now());
        assertEqual(run(filter(TimeGrid.of(0, 0.125, 0.25, 0.5, 0.75, 1)), Budget.NONE), found);
        assertEqual(run(filter(grid), Budget.NONE), run(filter(grid), Budget.ofSeconds(1e6)));
        assertEquals(
                2 * STEP + PARTICLES, run(filter(grid), Budget.ofSeconds(1e-9)).evaluations());
    }

    /** A limit of time needs one read in each step, and no other. */
    @Test
    void aTimeCostsOneReadForEachStep() {
        long[] reads = new long[2];
        for (int i = 0; i < 2; i++) {
            long before = HostReads.count();
            run(filter(TimeGrid.uniform(5)), i == 0 ? Budget.NONE : Budget.ofSeconds(1e6));
            reads[i] = HostReads.count() - before;
        }
        assertEquals(reads[0] + 5, reads[1]);
    }
}
