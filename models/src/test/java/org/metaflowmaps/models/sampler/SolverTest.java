package org.metaflowmaps.models.sampler;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.drift.DrawsDrift;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.GuidedDrift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.mixture.QuantileFlow;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Solvers and grids on the exact drift of a mixture with known flow, in float64. */
final class SolverTest {
    private static final int BATCH = 9;

    private final long live = NativeMemory.liveTensors();
    private final TensorScope scope = TensorScope.open();
    private final RandomSource random = RandomSource.seeded(5);
    private final GaussianMixture mixture =
            GaussianMixture.isotropic(List.of(new double[] {-1}, new double[] {0.8}), 0.2, Device.CPU);

    @AfterEach
    void nothingIsLeft() {
        mixture.close();
        random.close();
        scope.close();
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static Tensor noise() {
        double[] values = new double[BATCH];
        for (int i = 0; i < BATCH; i++) {
            values[i] = -2 + 0.5 * i;
        }
        return Torch.of(values).reshape(BATCH, 1);
    }

    private static Tensor full(double value) {
        return Torch.full(value, DType.FLOAT64, Device.CPU, BATCH);
    }

    /** Steps whose lengths differ by up to a factor of 3. */
    private static TimeGrid bent(int steps) {
        double[] times = new double[steps + 1];
        for (int i = 0; i <= steps; i++) {
            double share = (double) i / steps;
            times[i] = share * (0.5 + 0.5 * share);
        }
        return TimeGrid.of(times);
    }

    private static double error(Tensor found, Tensor exact) {
        return found.sub(exact).abs().max().item();
    }

    /** Halving the steps divides Euler's error by 2 and Heun's by 4, on uniform steps and on others. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void solversHaveTheirOrder(boolean uniform) {
        try (QuantileFlow flow = new QuantileFlow(mixture)) {
            Tensor noise = noise();
            Context nothing = new Context(full(0), noise.mul(0));
            Tensor exact = flow.flowMap(full(0), full(1), noise, nothing);
            Context seen = new Context(full(0.4), noise.mul(0.3));
            Tensor exactPosterior = flow.flowMap(full(0), full(1), noise, seen);
            for (Solver solver : Solver.values()) {
                double order = solver == Solver.EULER ? 1 : 2;
                double[] before = {0, 0};
                for (int steps : new int[] {32, 64, 128}) {
                    TimeGrid grid = uniform ? TimeGrid.uniform(steps) : bent(steps);
                    double[] now = {
                        error(
                                new OdeSampler(mixture.drift(), grid, solver)
                                        .sample(noise, Condition.none())
                                        .samples(),
                                exact),
                        error(
                                new GlassSampler(mixture.conditionalDrift(), grid, solver)
                                        .sample(noise, seen)
                                        .samples(),
                                exactPosterior)
                    };
                    for (int i = 0; i < 2 && before[i] > 0; i++) {
                        assertEquals(
                                order,
                                Math.log(before[i] / now[i]) / Math.log(2),
                                0.25,
                                solver + " with " + steps + " steps: " + now[i]);
                    }
                    before = now;
                }
                assertTrue(before[0] < (solver == Solver.EULER ? 2e-2 : 2e-4), solver + ": " + before[0]);
            }
        }
    }

    /** Equals the loop of earlier versions to the last bit. */
    @ParameterizedTest
    @ValueSource(ints = {1, 3, 7, 10})
    void uniformEulerStepsAreThoseOfBefore(int steps) {
        for (Tensor noise : List.of(noise(), noise().to(DType.FLOAT32))) {
            Drift drift = mixture.drift();
            Tensor state = noise;
            for (int step = 0; step < steps; step++) {
                Tensor time = Torch.full((double) step / steps, noise.dtype(), noise.device(), BATCH);
                state = state.add(drift.at(time, state, Condition.none()).mul(1.0 / steps));
            }
            assertArrayEquals(
                    state.toDoubleArray(),
                    new OdeSampler(drift, steps)
                            .sample(noise, Condition.none())
                            .samples()
                            .toDoubleArray());
        }
    }

    /** An exact flow map reaches the same state with every grid, and the same states at its times. */
    @Test
    void flowMapStepsFollowTheGrid() {
        try (QuantileFlow flow = new QuantileFlow(mixture)) {
            Tensor noise = noise();
            Context context = new Context(full(0.3), noise.mul(0.5));
            Tensor exact = flow.flowMap(full(0), full(1), noise, context);
            SampleResult drawn = new PosteriorSampler(flow, TimeGrid.of(0, 0.1, 0.7, 1)).sample(noise, context);
            assertEquals(3, drawn.evaluations());
            assertEquals(0, error(drawn.samples(), exact), 1e-9);
        }
        try (MetaFlowMap map = SmallNetworks.transformer();
                Autograd.Mode off = Autograd.noGrad()) {
            Context context = SmallNetworks.context(map, random);
            Tensor noise = SmallNetworks.items(map, random);
            Tensor first =
                    map.flowMap(context.time().mul(0), context.time().mul(0).add(0.25), noise, context);
            Tensor second = map.flowMap(
                    context.time().mul(0).add(0.25), context.time().mul(0).add(1), first, context);
            assertArrayEquals(
                    second.toFloatArray(),
                    new PosteriorSampler(map, TimeGrid.of(0, 0.25, 1))
                            .sample(noise, context)
                            .samples()
                            .toFloatArray());
        }
    }

    /** Network evaluations per item: solver, guidance and draws count. */
    @Test
    void evaluationsAreCounted() {
        try (MetaFlowMap map = SmallNetworks.transformer();
                Autograd.Mode off = Autograd.noGrad()) {
            int[] calls = {0};
            Drift counted = (time, state, condition) -> {
                calls[0]++;
                return new NetworkDrift(map).at(time, state, condition);
            };
            Context context = SmallNetworks.context(map, random);
            Tensor noise = SmallNetworks.items(map, random);
            Drift guided = new GuidedDrift(counted, map.classes(), 0);
            TimeGrid grid = TimeGrid.uniform(3);
            for (Condition condition :
                    List.of(context.condition(), context.condition().withoutGuidance(), Condition.none())) {
                for (Solver solver : Solver.values()) {
                    calls[0] = 0;
                    assertEquals(
                            new OdeSampler(guided, grid, solver)
                                    .sample(noise, condition)
                                    .evaluations(),
                            calls[0]);
                    calls[0] = 0;
                    assertEquals(
                            new GlassSampler(new Glass(guided), grid, solver)
                                    .sample(noise, context.with(condition))
                                    .evaluations(),
                            calls[0]);
                }
            }
            assertEquals(
                    12,
                    new OdeSampler(guided, grid, Solver.HEUN)
                            .sample(noise, context.condition())
                            .evaluations());
            assertEquals(5, new DrawsDrift(map, 5, random).evaluations(Condition.none()));
            assertEquals(
                    3,
                    new RefinementSampler(map, grid)
                            .sample(Noise.of(random, map, SmallNetworks.BATCH), context.condition())
                            .evaluations());
            SampleResult several = new PosteriorSampler(map, grid).sample(random, context, 4);
            assertEquals(3, several.evaluations());
            assertTrue(several.time().toNanos() > 0);
        }
    }

    @Test
    void aListenerHearsOfEveryStepAndMayCancel() {
        List<String> heard = new ArrayList<>();
        SamplingListener stopping = new SamplingListener() {
            @Override
            public void stepDone(int done, int steps) {
                heard.add(done + "/" + steps);
            }

            @Override
            public boolean isCancelled() {
                return heard.size() == 2;
            }
        };
        Tensor noise = noise();
        OdeSampler sampler = new OdeSampler(mixture.drift(), 4);
        long before = NativeMemory.liveTensors();
        CancellationException cancelled = assertThrows(
                CancellationException.class, () -> sampler.sample(Noise.of(noise), Condition.none(), stopping));
        assertEquals("sampling was cancelled after 2 of 4 steps", cancelled.getMessage());
        assertEquals(before, NativeMemory.liveTensors());
        assertEquals(List.of("1/4", "2/4"), heard);
        heard.add("no more");
        try (QuantileFlow flow = new QuantileFlow(mixture)) {
            new PosteriorSampler(flow, 1).sample(Noise.of(noise), new Context(full(0.5), noise), stopping);
        }
        assertEquals("1/1", heard.getLast());
    }

    @Test
    void noiseIsGivenOnceAndInTurn() {
        try (MetaFlowMap map = SmallNetworks.transformer();
                Autograd.Mode off = Autograd.noGrad()) {
            RefinementSampler sampler = new RefinementSampler(map, TimeGrid.of(0, 0.3, 1));
            Condition condition = SmallNetworks.context(map, random).condition();
            Tensor[] noises = new Tensor[5];
            for (int i = 0; i < noises.length; i++) {
                noises[i] = SmallNetworks.items(map, random);
            }
            Tensor given = sampler.sample(Noise.of(noises), condition).samples();
            try (RandomSource same = RandomSource.seeded(11);
                    RandomSource again = RandomSource.seeded(11)) {
                Tensor one = sampler.sample(Noise.of(same, map, SmallNetworks.BATCH), condition)
                        .samples();
                Tensor two = sampler.sample(Noise.of(again, noises[0].shape()), condition)
                        .samples();
                assertArrayEquals(one.toFloatArray(), two.toFloatArray());
            }
            // The second posterior has time 0.3.
            Context start = new Context(Torch.zeros(SmallNetworks.BATCH), noises[0], condition);
            Tensor clean = new PosteriorSampler(map, 1).sample(noises[1], start).samples();
            Tensor noisy = noises[2].mul(1 - 0.3).add(clean.mul(0.3));
            Context later = new Context(Torch.zeros(SmallNetworks.BATCH).add(0.3), noisy, condition);
            assertArrayEquals(
                    new PosteriorSampler(map, 1)
                            .sample(noises[3], later)
                            .samples()
                            .toFloatArray(),
                    given.toFloatArray(),
                    1e-5f);
            String message = assertThrows(IllegalArgumentException.class, () -> sampler.sample(noises[0], condition))
                    .getMessage();
            assertTrue(String.valueOf(message).contains("only 1 given"), message);
            assertThrows(IllegalArgumentException.class, () -> Noise.of(random, map, 0));
        }
    }
}
