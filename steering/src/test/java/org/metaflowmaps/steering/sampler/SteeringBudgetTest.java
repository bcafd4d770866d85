package org.metaflowmaps.steering.sampler;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.HostReads;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.particle.Budget;
import org.metaflowmaps.steering.particle.Clock;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.KeyedNoise;

/** Steered samplers within budgets take fewer steps to the same end. */
final class SteeringBudgetTest {
    private static final TimeGrid GRID = TimeGrid.linspace(0.04, 8);
    /** Of MFM-G with two draws. */
    private static final long STEP = 1 + 4 * 2;

    /** Kinds of dynamics. */
    enum Kind {
        EULER,
        HEUN,
        SDE;

        Dynamics dynamics() {
            return switch (this) {
                case EULER -> Dynamics.ODE;
                case HEUN -> new Dynamics.Ode(Solver.HEUN);
                case SDE -> Dynamics.SDE;
            };
        }

        long cost(int steps) {
            return (this == HEUN ? 2 * steps - 1 : steps) * STEP;
        }
    }

    private static SteeredSampler sampler(MixtureSteering mixture, TimeGrid grid, Kind kind) {
        return new SteeredSampler(
                Schedule.always(mixture.estimator(MixtureSteering.Method.MFM_G, 2, Coefficient.PAPER)),
                grid,
                kind.dynamics(),
                CorrectionScale.EXACT,
                Optional.empty(),
                true);
    }

    private static KeyedNoise noise() {
        return new KeyedNoise(3, new long[] {0, 1, 2, 3}, 1, Shape.of(2), DType.FLOAT64, Device.CPU);
    }

    private static SteeredResult sample(SteeredSampler sampler, Budget budget) {
        return sampler.sample(noise(), Condition.none(), budget, SamplingListener.NONE);
    }

    private static void assertEqual(SteeredResult expected, SteeredResult found) {
        assertEquals(expected.evaluations(), found.evaluations());
        assertArrayEquals(expected.samples().toDoubleArray(), found.samples().toDoubleArray(), 0);
        assertArrayEquals(
                expected.trace().orElseThrow().value().toDoubleArray(),
                found.trace().orElseThrow().value().toDoubleArray(),
                0);
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void evaluationsPayForTheMostSteps(Kind kind) {
        try (TensorScope scope = TensorScope.open();
                MixtureSteering mixture = new MixtureSteering()) {
            SteeredSampler whole = sampler(mixture, GRID, kind);
            for (int steps : new int[] {1, 3, 7, 8}) {
                for (long rest : new long[] {0, STEP - 1}) {
                    SteeredResult found = sample(whole, Budget.ofEvaluations(kind.cost(steps) + rest));
                    assertEquals(kind.cost(steps), found.evaluations());
                    assertEqual(sample(sampler(mixture, GRID.thinned(steps), kind), Budget.NONE), found);
                }
            }
            assertRefused(
                    () -> sample(whole, Budget.ofEvaluations(STEP - 1)),
                    "the budget is 8 evaluations, but one step costs 9");
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void secondsLengthenTheStepsLeft(Kind kind) {
        long live = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                MixtureSteering mixture = new MixtureSteering()) {
            TimeGrid grid = TimeGrid.linspace(0.04, 4);
            SteeredSampler whole = sampler(mixture, grid, kind);
            Clock clock = new Clock(1);
            SteeredResult found = whole.sample(noise(), Condition.none(), Budget.ofSeconds(3), clock, clock);
            assertEquals(3, clock.now());
            // The grid's times 0, 1, 2 and 4.
            assertEqual(sample(sampler(mixture, grid.thinned(3), kind), Budget.NONE), found);
            assertEqual(sample(whole, Budget.NONE), sample(whole, Budget.ofSeconds(1e6)));
            assertEquals(kind.cost(2), sample(whole, Budget.ofSeconds(1e-9)).evaluations());
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void aTimeCostsOneReadForEachStep() {
        try (TensorScope scope = TensorScope.open();
                MixtureSteering mixture = new MixtureSteering()) {
            long[] reads = new long[2];
            for (int i = 0; i < 2; i++) {
                long before = HostReads.count();
                sample(sampler(mixture, GRID, Kind.SDE), i == 0 ? Budget.NONE : Budget.ofSeconds(1e6));
                reads[i] = HostReads.count() - before;
            }
            assertEquals(reads[0] + 8, reads[1]);
        }
    }
}
