package org.metaflowmaps.steering.sampler;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.HostReads;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.ExactMixtureMap;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.BadScoreException;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.GradientFree;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.LookAheadGradient;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.NoSteering;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.PosteriorMeanGradient;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.steering.value.ValueGradient;

final class SteeredSamplerTest {
    private static final Dynamics HEUN = new Dynamics.Ode(Solver.HEUN);

    /** A reward of states by a function. */
    private record Scores(UnaryOperator<Tensor> function) implements Reward {
        @Override
        public String name() {
            return "test";
        }

        @Override
        public boolean takesStates() {
            return true;
        }

        @Override
        public Tensor score(Tensor samples, Condition condition) {
            return function.apply(samples);
        }
    }

    private static Tilt tilt(double strength, UnaryOperator<Tensor> function) {
        return new Tilt(new Scores(function), strength);
    }

    private static Tensor linear(Tensor samples) {
        return samples.select(1, 0).mul(1.2).sub(samples.select(1, 1).mul(0.8));
    }

    private static Tensor pull(Tensor samples) {
        return samples.sub(0.5).square().reshape(samples.size(0), -1).mean(1).mul(-3);
    }

    /** An estimator that records its calls, with given base drift and correction. */
    private record Given(double base, double correction, List<Point> calls) implements ValueGradient {
        Given(double base, double correction) {
            this(base, correction, new ArrayList<>());
        }

        @Override
        public Estimate at(Point point) {
            calls.add(point);
            Tensor ones = Torch.onesLike(point.state());
            return new Estimate(ones.mul(base), ones.mul(correction), Optional.empty());
        }

        @Override
        public long evaluations(Condition condition) {
            return (long) correction;
        }

        double[] times() {
            return calls.stream().mapToDouble(Point::time).toArray();
        }
    }

    /** Noise of ones that records the steps that need diffusion. */
    private record Ones(int rows, List<Integer> diffused) implements SteeringNoise {
        Ones(int rows) {
            this(rows, new ArrayList<>());
        }

        @Override
        public Tensor normal(Use use, int step, int first, int draws) {
            if (use == Use.DIFFUSION) {
                diffused.add(step);
            }
            return Torch.full(1, DType.FLOAT64, Device.CPU, rows, draws, 2);
        }

        @Override
        public Tensor uniform(Use use, int step) {
            throw new UnsupportedOperationException("a steered sampler does not resample");
        }
    }

    private static KeyedNoise wide(int items) {
        long[] all = new long[items];
        Arrays.setAll(all, i -> i);
        return new KeyedNoise(5, all, 1, Shape.of(2), DType.FLOAT64, Device.CPU);
    }

    /**
     * N(0, ½) tilted by a linear reward is shifted by half its slope; one draw estimates the exact gradient there
     * (method §13.7).
     */
    @Test
    void aTiltedGaussianIsShifted() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap(new double[] {0}, 0.5);
                GaussianMixture data = GaussianMixture.isotropic(List.of(new double[2]), 0.5, Device.CPU)) {
            for (Dynamics dynamics : List.of(Dynamics.ODE, HEUN, Dynamics.SDE)) {
                for (double strength : new double[] {1, -1}) {
                    ValueFunction value = new ValueFunction(map, tilt(strength, SteeredSamplerTest::linear), 1);
                    ValueGradient estimator = new MonteCarloGradient(
                            data.uncheckedDrift(), value, new Coefficient(Double.POSITIVE_INFINITY));
                    Tensor samples = new SteeredSampler(estimator, TimeGrid.linspace(0.01, 100), dynamics)
                            .sample(wide(3000), Condition.none())
                            .samples();
                    double[] mean = samples.mean(0).toDoubleArray();
                    String what = dynamics + ", lambda " + strength + ": " + Arrays.toString(mean);
                    // Four standard errors of the mean are 0.05.
                    assertEquals(0.6 * strength, mean[0], 0.06, what);
                    assertEquals(-0.4 * strength, mean[1], 0.06, what);
                    for (double variance : samples.var(0).toDoubleArray()) {
                        assertEquals(0.5, variance, 0.06, what);
                    }
                }
            }
        }
    }

    /** A large constant in the reward does not change samples, because e^r is never formed. */
    @Test
    void aLargeConstantMovesNoSample() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap(new double[] {0}, 0.5);
                GaussianMixture data = GaussianMixture.isotropic(List.of(new double[2]), 0.5, Device.CPU)) {
            Drift drift = data.uncheckedDrift();
            for (Dynamics dynamics : List.of(Dynamics.ODE, Dynamics.SDE)) {
                for (boolean free : new boolean[] {true, false}) {
                    double[][] samples = new double[2][];
                    for (int i = 0; i < 2; i++) {
                        double constant = i * 1e4;
                        ValueFunction value =
                                new ValueFunction(map, tilt(1, x -> linear(x).add(constant)), 4);
                        ValueGradient estimator = free
                                ? new GradientFree(drift, value, GradientFree.Centre.DENOISER)
                                : new MonteCarloGradient(drift, value, Coefficient.PAPER);
                        samples[i] = new SteeredSampler(estimator, TimeGrid.linspace(0.01, 40), dynamics)
                                .sample(wide(32), Condition.none())
                                .samples()
                                .toDoubleArray();
                    }
                    assertArrayEquals(samples[0], samples[1], 1e-8, dynamics + (free ? " MFM-GF" : " MFM-G"));
                }
            }
        }
    }

    private static final Tilt CONSTANT = tilt(
            2, samples -> samples.mul(0).reshape(samples.size(0), -1).sum(1).add(7.3));

    /** A constant reward has no effect; for gradient estimates, to the last bit. */
    @Test
    void aConstantRewardSteersNothing() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer()) {
            Drift drift = new NetworkDrift(map, false);
            ValueFunction value = new ValueFunction(map, CONSTANT, 3);
            KeyedNoise noise = KeyedNoise.of(1, 0, 3, 1, map.itemShape(), Device.CPU);
            Condition condition = Condition.labelled(Torch.of(new long[] {0, 1, 2}));
            TimeGrid grid = TimeGrid.linspace(0.01, 6);
            for (Dynamics dynamics : List.of(Dynamics.ODE, HEUN, Dynamics.SDE)) {
                for (CorrectionScale.Mode mode : CorrectionScale.Mode.values()) {
                    CorrectionScale scale = new CorrectionScale(0.7, mode, 1);
                    float[] unsteered = samples(new NoSteering(drift), grid, dynamics, scale, noise, condition);
                    for (ValueGradient estimator : List.of(
                            new MonteCarloGradient(drift, value, Coefficient.PAPER),
                            new PosteriorMeanGradient(drift, CONSTANT, Coefficient.PAPER),
                            new LookAheadGradient(drift, map, CONSTANT, Coefficient.PAPER))) {
                        // A drift that is evaluated with a gradient graph is rounded in another way.
                        assertArrayEquals(
                                unsteered,
                                samples(estimator, grid, dynamics, scale, noise, condition),
                                1e-5f,
                                estimator + " " + dynamics + " " + mode);
                    }
                    if (mode != CorrectionScale.Mode.RESCALE) {
                        // Rescaling would increase rounding errors to the drift's size.
                        assertArrayEquals(
                                unsteered,
                                samples(
                                        new GradientFree(drift, value, GradientFree.Centre.DRAWS),
                                        grid,
                                        dynamics,
                                        scale,
                                        noise,
                                        condition),
                                1e-5f);
                    }
                }
            }
        }
    }

    private static float[] samples(
            ValueGradient estimator,
            TimeGrid grid,
            Dynamics dynamics,
            CorrectionScale scale,
            SteeringNoise noise,
            Condition condition) {
        return new SteeredSampler(Schedule.always(estimator), grid, dynamics, scale, Optional.empty(), false)
                .sample(noise, condition)
                .samples()
                .toFloatArray();
    }

    /** An item's sample depends only on its index, not on batches, neighbours or the number of draws at once. */
    @Test
    void samplesDoNotDependOnBatches() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer()) {
            long[] labels = {0, 1, 2, 3, 0, 1, 2, 3};
            int size = Math.toIntExact(map.itemShape().numel());
            for (Dynamics dynamics : List.of(Dynamics.ODE, Dynamics.SDE)) {
                for (boolean free : new boolean[] {true, false}) {
                    float[] whole = inBatches(map, labels, 8, 32, dynamics, free);
                    for (int batch : new int[] {3, 1}) {
                        for (int chunk : new int[] {8, 1}) {
                            assertArrayEquals(
                                    whole,
                                    inBatches(map, labels, batch, chunk, dynamics, free),
                                    1e-4f,
                                    dynamics + " batch " + batch + " chunk " + chunk);
                        }
                    }
                    assertTrue(
                            Math.abs(whole[0] - whole[4 * size]) > 1e-3, "items with one label have different noise");
                }
            }
        }
    }

    private static float[] inBatches(
            MetaFlowMap map, long[] labels, int batch, int chunk, Dynamics dynamics, boolean free) {
        int size = Math.toIntExact(map.itemShape().numel());
        float[] all = new float[labels.length * size];
        Drift drift = new NetworkDrift(map, false);
        ValueFunction value =
                new ValueFunction(map, tilt(2, SteeredSamplerTest::pull), 8, ValueFunction.Noise.IID, chunk);
        ValueGradient estimator = free
                ? new GradientFree(drift, value, GradientFree.Centre.DENOISER)
                : new MonteCarloGradient(drift, value, Coefficient.PAPER);
        SteeredSampler sampler = new SteeredSampler(
                Schedule.always(estimator),
                // From 0.01 these few steps of the SDE would multiply rounding errors by 19 each.
                TimeGrid.linspace(0.1, 5),
                dynamics,
                CorrectionScale.PAPER,
                Optional.empty(),
                false);
        for (int first = 0; first < labels.length; first += batch) {
            int count = Math.min(batch, labels.length - first);
            try (TensorScope scope = TensorScope.open()) {
                Condition condition = Condition.labelled(Torch.of(Arrays.copyOfRange(labels, first, first + count)))
                        .guided(Torch.full(2.5, DType.FLOAT32, Device.CPU, count));
                KeyedNoise noise = KeyedNoise.of(3, first, count, 1, map.itemShape(), Device.CPU);
                float[] drawn = sampler.sample(noise, condition).samples().toFloatArray();
                System.arraycopy(drawn, 0, all, first * size, drawn.length);
            }
        }
        return all;
    }

    /** Steps read nothing back from the device and leave no tensor behind. */
    @Test
    void stepsReadNothingAndLeaveNothing() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer()) {
            Drift drift = new NetworkDrift(map, false);
            Tilt tilt = tilt(1, SteeredSamplerTest::pull);
            ValueFunction value = new ValueFunction(map, tilt, 2);
            KeyedNoise noise = KeyedNoise.of(1, 0, 2, 1, map.itemShape(), Device.CPU);
            for (ValueGradient estimator : List.of(
                    new MonteCarloGradient(drift, value, Coefficient.PAPER),
                    new GradientFree(drift, value, GradientFree.Centre.DRAWS),
                    new PosteriorMeanGradient(drift, tilt, Coefficient.PAPER))) {
                for (Dynamics dynamics : List.of(Dynamics.ODE, HEUN, Dynamics.SDE)) {
                    long[] reads = new long[2];
                    List<Long> live = new ArrayList<>();
                    for (int i = 0; i < 2; i++) {
                        int steps = 4 + 4 * i;
                        SteeredSampler sampler = new SteeredSampler(
                                Schedule.always(estimator),
                                TimeGrid.linspace(0.01, steps),
                                dynamics,
                                CorrectionScale.PAPER,
                                Optional.of(tilt),
                                true);
                        SamplingListener listener = new SamplingListener() {
                            @Override
                            public void stepDone(int done, int all) {
                                if (all == 8 && done >= 2) {
                                    live.add(NativeMemory.liveTensors());
                                }
                            }
                        };
                        try (TensorScope inner = TensorScope.open()) {
                            long before = HostReads.count();
                            sampler.sample(noise, Condition.none(), listener);
                            reads[i] = HostReads.count() - before;
                        }
                    }
                    assertEquals(reads[0], reads[1], estimator + " " + dynamics);
                    assertEquals(1, live.stream().distinct().count(), () -> "live tensors by step: " + live);
                }
            }
        }
    }

    @Test
    void cancellingEndsWithinAStepAndLeavesNothing() {
        try (TensorScope scope = TensorScope.open()) {
            long before = NativeMemory.liveTensors();
            List<String> heard = new ArrayList<>();
            SamplingListener listener = new SamplingListener() {
                @Override
                public void stepDone(int done, int steps) {
                    heard.add(done + "/" + steps);
                }

                @Override
                public boolean isCancelled() {
                    return heard.size() == 2;
                }
            };
            SteeredSampler sampler = new SteeredSampler(new Given(1, 1), TimeGrid.linspace(0.01, 5), Dynamics.SDE);
            CancellationException thrown = assertThrows(
                    CancellationException.class, () -> sampler.sample(new Ones(3), Condition.none(), listener));
            assertEquals("steered sampling was cancelled after 2 of 5 steps", thrown.getMessage());
            assertEquals(List.of("1/5", "2/5"), heard);
            assertEquals(before, NativeMemory.liveTensors());
        }
    }

    /** Every step, computed by hand from constant drifts and noise of ones. */
    @Test
    void stepsFollowTheFormulas() {
        TimeGrid grid = TimeGrid.linspace(0.01, 4);
        double base = 0.3;
        double correction = 2;
        double guidance = 0.5;
        for (Dynamics dynamics :
                List.of(Dynamics.ODE, HEUN, Dynamics.SDE, new Dynamics.Sde(new Coefficient(3), true))) {
            Given estimator = new Given(base, correction);
            Ones noise = new Ones(2);
            double expected = 1;
            List<Double> times = new ArrayList<>();
            for (int k = 0; k < 4; k++) {
                double t = 0.01 + 0.2475 * k;
                times.add(t);
                if (dynamics instanceof Dynamics.Sde sde) {
                    double c = Math.min((1 - t) / t, sde.coefficient().limit());
                    expected += 0.2475 * (2 * base - expected / t + guidance * 2 * correction);
                    expected += k < 3 || sde.lastNoise() ? Math.sqrt(2 * c * 0.2475) : 0;
                } else {
                    expected += 0.2475 * (base + guidance * correction);
                    if (dynamics.equals(HEUN) && k < 3) {
                        times.add(t + 0.2475);
                    }
                }
            }
            try (TensorScope scope = TensorScope.open()) {
                SteeredResult result = new SteeredSampler(
                                Schedule.always(estimator),
                                grid,
                                dynamics,
                                new CorrectionScale(guidance, CorrectionScale.Mode.NONE, 1),
                                Optional.empty(),
                                false)
                        .sample(noise, Condition.none());
                for (double value : result.samples().toDoubleArray()) {
                    assertEquals(expected, value, 1e-9 * Math.abs(expected), dynamics.toString());
                }
                assertArrayEquals(
                        times.stream().mapToDouble(t -> t).toArray(), estimator.times(), 1e-12, dynamics.toString());
                assertEquals(2L * times.size(), result.evaluations(), "2 for each evaluation of the drift");
                if (dynamics instanceof Dynamics.Sde sde) {
                    assertEquals(sde.lastNoise() ? List.of(0, 1, 2, 3) : List.of(0, 1, 2), noise.diffused());
                }
            }
        }
    }

    /** Halving the steps divides Euler's error by 2 and Heun's by 4. */
    @Test
    void solversHaveTheirOrders() {
        try (TensorScope scope = TensorScope.open();
                MixtureSteering mixture = new MixtureSteering()) {
            ValueGradient estimator = mixture.estimator(MixtureSteering.Method.EXACT, 1, Coefficient.PAPER);
            Tensor exact = new SteeredSampler(estimator, TimeGrid.linspace(0.2, 1600), HEUN)
                    .sample(wide(16), Condition.none())
                    .samples();
            for (Dynamics dynamics : List.of(Dynamics.ODE, HEUN)) {
                double[] errors = new double[2];
                for (int i = 0; i < 2; i++) {
                    errors[i] = new SteeredSampler(estimator, TimeGrid.linspace(0.2, 100 << i), dynamics)
                            .sample(wide(16), Condition.none())
                            .samples()
                            .sub(exact)
                            .norm()
                            .item();
                }
                double order = Math.log(errors[0] / errors[1]) / Math.log(2);
                assertEquals(dynamics.equals(HEUN) ? 2 : 1, order, 0.4, dynamics + " " + Arrays.toString(errors));
            }
        }
    }

    @Test
    void schedulesChooseTheEstimatorOfEachStep() {
        Given four = new Given(0, 4);
        Given two = new Given(0, 2);
        Given none = new Given(0, 0);
        Schedule schedule = ((Schedule) (step, time) -> step < 4 ? four : two)
                .every(2, none)
                .between(0.1, 0.9, none);
        try (TensorScope scope = TensorScope.open()) {
            // Times 0.01, 0.12, 0.23, ..., 0.89.
            SteeredResult result = new SteeredSampler(
                            schedule,
                            TimeGrid.linspace(0.01, 9),
                            Dynamics.ODE,
                            CorrectionScale.EXACT,
                            Optional.empty(),
                            false)
                    .sample(new Ones(1), Condition.none());
            assertEquals(List.of(2), four.calls().stream().map(Point::step).toList());
            assertEquals(List.of(4, 6, 8), two.calls().stream().map(Point::step).toList());
            assertEquals(
                    List.of(0, 1, 3, 5, 7),
                    none.calls().stream().map(Point::step).toList());
            assertEquals(4 + 3 * 2, result.evaluations());
        }
        assertRefused(IllegalArgumentException.class, () -> schedule.between(0.5, 0.5, none), "0 <= from < to <= 1");
        assertRefused(IllegalArgumentException.class, () -> schedule.every(0, none), "period is 0 steps");
    }

    /** The paper's numbers (F.3.2) and the largest number of steps within a budget. */
    @Test
    void evaluationsAreCountedAsInThePaper() {
        try (MixtureSteering mixture = new MixtureSteering()) {
            for (Dynamics dynamics : List.of(Dynamics.ODE, Dynamics.SDE)) {
                long[][] expected = {{1, 1250, 750}, {4, 4250, 2250}, {32, 32_250, 16_250}};
                for (long[] row : expected) {
                    for (int i = 1; i <= 2; i++) {
                        MixtureSteering.Method method =
                                i == 1 ? MixtureSteering.Method.MFM_G : MixtureSteering.Method.MFM_GF;
                        ValueGradient estimator = mixture.estimator(method, (int) row[0], Coefficient.PAPER);
                        assertEquals(
                                row[i],
                                new SteeredSampler(estimator, TimeGrid.linspace(0.01, 250), dynamics)
                                        .evaluations(Condition.none()));
                        for (long more : new long[] {0, 1}) {
                            SteeredSampler within = SteeredSampler.within(
                                    row[i] + more * row[i] / 250 - 1,
                                    Condition.none(),
                                    steps -> new SteeredSampler(estimator, TimeGrid.linspace(0.01, steps), dynamics));
                            assertEquals(249 + more, within.grid().steps());
                        }
                    }
                }
            }
            ValueGradient dps = mixture.estimator(MixtureSteering.Method.DPS, 1, Coefficient.PAPER);
            assertEquals(
                    1000,
                    new SteeredSampler(dps, TimeGrid.linspace(0.01, 250), Dynamics.ODE).evaluations(Condition.none()));
            assertRefused(
                    IllegalArgumentException.class,
                    () -> SteeredSampler.within(
                            3,
                            Condition.none(),
                            steps -> new SteeredSampler(dps, TimeGrid.linspace(0.01, steps), Dynamics.ODE)),
                    "the budget is 3 evaluations, but one step costs 4");
        }
    }

    @Test
    void correctionsAreRescaledForEachItem() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor base = Torch.of(new double[] {3, 4, 0.3, 0.4}, 2, 2);
            Tensor correction = Torch.of(new double[] {1, 0, 0, 1}, 2, 2);
            assertArrayEquals(
                    new double[] {3.5, 4, 0.3, 0.9},
                    new CorrectionScale(0.5, CorrectionScale.Mode.NONE, 9)
                            .drift(base, correction)
                            .toDoubleArray(),
                    1e-7);
            assertArrayEquals(
                    new double[] {3 + 0.5 * 2 * 5, 4, 0.3, 0.4 + 0.5 * 2 * 0.5},
                    new CorrectionScale(0.5, CorrectionScale.Mode.RESCALE, 2)
                            .drift(base, correction)
                            .toDoubleArray(),
                    1e-7);
            // The first is shorter than its limit already.
            assertArrayEquals(
                    new double[] {3.5, 4, 0.3, 0.4 + 0.5 * 0.5},
                    new CorrectionScale(0.5, CorrectionScale.Mode.CLIP, 1)
                            .drift(base, correction)
                            .toDoubleArray(),
                    1e-7);
        }
    }

    /** The trace and the scores are those of the run. */
    @Test
    void resultsHaveScoresAndATraceIfAsked() {
        try (TensorScope scope = TensorScope.open();
                MixtureSteering mixture = new MixtureSteering()) {
            Tilt tilt = tilt(3, SteeredSamplerTest::linear);
            ValueGradient estimator = mixture.estimator(MixtureSteering.Method.MFM_GF, 4, Coefficient.PAPER);
            SteeredResult plain = new SteeredSampler(estimator, TimeGrid.linspace(0.01, 3), Dynamics.ODE)
                    .sample(wide(5), Condition.none());
            assertTrue(plain.rewards().isEmpty() && plain.trace().isEmpty());
            SteeredResult result = new SteeredSampler(
                            Schedule.always(estimator),
                            TimeGrid.linspace(0.01, 3),
                            Dynamics.ODE,
                            CorrectionScale.EXACT,
                            Optional.of(tilt),
                            true)
                    .sample(wide(5), Condition.none());
            assertArrayEquals(
                    linear(result.samples()).toDoubleArray(),
                    result.rewards().orElseThrow().toDoubleArray(),
                    1e-12,
                    "without lambda");
            SteeringTrace trace = result.trace().orElseThrow();
            ValueGradient.Estimate first = estimator.at(
                    new Point(0.01, 0, wide(5).normal(SteeringNoise.Use.START, 0), Condition.none(), wide(5)));
            assertEquals(
                    List.of(3L, 5L),
                    List.of(trace.value().size(0), trace.value().size(1)));
            assertArrayEquals(
                    first.value().orElseThrow().toDoubleArray(),
                    trace.value().select(0, 0).toDoubleArray(),
                    1e-9);
            assertArrayEquals(
                    first.base().square().sum(1).sqrt().toDoubleArray(),
                    trace.base().select(0, 0).toDoubleArray(),
                    1e-9);
            assertArrayEquals(
                    first.correction().square().sum(1).sqrt().toDoubleArray(),
                    trace.correction().select(0, 0).toDoubleArray(),
                    1e-9);
        }
    }

    @Test
    void aBadScoreEndsTheRun() {
        try (TensorScope scope = TensorScope.open();
                MixtureSteering mixture = new MixtureSteering();
                ExactMixtureMap map = new ExactMixtureMap()) {
            Tilt tilt = tilt(1, samples -> linear(samples).mul(Double.NaN));
            SteeredSampler sampler = new SteeredSampler(
                    new GradientFree(
                            mixture.data().uncheckedDrift(),
                            new ValueFunction(map, tilt, 2),
                            GradientFree.Centre.DRAWS),
                    TimeGrid.linspace(0.01, 3),
                    Dynamics.ODE);
            long before = NativeMemory.liveTensors();
            BadScoreException thrown =
                    assertThrows(BadScoreException.class, () -> sampler.sample(wide(2), Condition.none()));
            assertTrue(thrown.toString().contains("test"), thrown::toString);
            assertEquals(before, NativeMemory.liveTensors());
        }
    }

    @Test
    void badSettingsAreRefused() {
        assertRefused(
                IllegalArgumentException.class,
                () -> new SteeredSampler(new Given(0, 0), TimeGrid.uniform(4), Dynamics.ODE),
                "use TimeGrid.linspace(0.01, steps)");
        assertRefused(
                IllegalArgumentException.class,
                () -> new CorrectionScale(Double.NaN, CorrectionScale.Mode.NONE, 1),
                "guidance scale is NaN");
        assertRefused(
                IllegalArgumentException.class,
                () -> new CorrectionScale(1, CorrectionScale.Mode.CLIP, 0),
                "factor (kappa) is 0.0");
    }
}
