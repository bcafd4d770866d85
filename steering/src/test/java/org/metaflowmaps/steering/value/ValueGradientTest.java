package org.metaflowmaps.steering.value;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;

import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.HostReads;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.GaussianMap;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.GradientFree.Centre;
import org.metaflowmaps.steering.value.ValueFunction.Noise;

/** The estimators of the tilted drift compared with finite differences, closed forms, and each other. */
final class ValueGradientTest {
    private static final double STEP = 1e-5;
    private static final Coefficient EXACT = new Coefficient(Double.POSITIVE_INFINITY);

    /** An action with a point in float64. */
    private interface Body {
        void run(MetaFlowMap map, Drift drift, Point point);
    }

    private static void withNetwork(Body body) {
        long live = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = Points.network()) {
            body.run(map, new NetworkDrift(map, false), Points.of(map));
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static double[] correction(ValueGradient estimator, Point point) {
        return estimator.at(point).correction().toDoubleArray();
    }

    /** Central differences of each row's value in each entry of its own state. */
    private static double[] differences(Point point, Function<Point, Tensor> value) {
        double[] state = point.state().toDoubleArray();
        int size = state.length / Points.ROWS;
        double[] slopes = new double[state.length];
        for (int entry = 0; entry < size; entry++) {
            double[][] ends = new double[2][];
            for (int side = 0; side < 2; side++) {
                double[] moved = state.clone();
                for (int row = 0; row < Points.ROWS; row++) {
                    moved[row * size + entry] += side == 0 ? -STEP : STEP;
                }
                try (TensorScope scope = TensorScope.open()) {
                    Tensor there = Torch.of(moved, point.state().shape().toArray());
                    ends[side] = value.apply(Points.at(point, there)).toDoubleArray();
                }
            }
            for (int row = 0; row < Points.ROWS; row++) {
                slopes[row * size + entry] = (ends[1][row] - ends[0][row]) / (2 * STEP);
            }
        }
        return slopes;
    }

    private static double[] scaled(double[] values, double factor) {
        return Arrays.stream(values).map(x -> factor * x).toArray();
    }

    @Test
    void theMonteCarloGradientIsThatOfTheValueWithTheSameNoise() {
        withNetwork((map, drift, point) -> {
            for (Noise noise : Noise.values()) {
                ValueFunction value = new ValueFunction(map, new Tilt(Rewards.curved(), 1.8), 6, noise, 4);
                ValueGradient.Estimate estimate = new MonteCarloGradient(drift, value, EXACT).at(point);
                assertArrayEquals(
                        scaled(differences(point, value::at), EXACT.at(Points.TIME)),
                        estimate.correction().toDoubleArray(),
                        1e-6);
                assertArrayEquals(
                        value.at(point).toDoubleArray(),
                        estimate.value().orElseThrow().toDoubleArray(),
                        1e-12);
                assertFalse(estimate.correction().requiresGrad());
            }
        });
    }

    @Test
    void theBaselinesAreGradientsThroughOneEndpoint() {
        withNetwork((map, drift, point) -> {
            Tilt tilt = new Tilt(Rewards.curved(), -1.3);
            Tensor times = Torch.full(Points.TIME, DType.FLOAT64, Device.CPU, Points.ROWS);
            Function<Point, Tensor> mean = at -> tilt.at(
                    at.state().add(drift.at(times, at.state(), at.condition()).mul(1 - Points.TIME)), at.condition());
            Function<Point, Tensor> end = at -> tilt.at(
                    map.flowMap(
                            times,
                            Torch.onesLike(times),
                            at.state(),
                            Context.unconditional(at.state(), at.condition())),
                    at.condition());
            ValueGradient dps = new PosteriorMeanGradient(drift, tilt, EXACT);
            ValueGradient ahead = new LookAheadGradient(drift, map, tilt, EXACT);
            double factor = EXACT.at(Points.TIME);
            assertArrayEquals(scaled(differences(point, mean), factor), correction(dps, point), 1e-6);
            assertArrayEquals(scaled(differences(point, end), factor), correction(ahead, point), 1e-6);
            assertArrayEquals(
                    mean.apply(point).toDoubleArray(),
                    dps.at(point).value().orElseThrow().toDoubleArray(),
                    1e-12);
            assertArrayEquals(
                    end.apply(point).toDoubleArray(),
                    ahead.at(point).value().orElseThrow().toDoubleArray(),
                    1e-12);
        });
    }

    @Test
    void theGradientFreeEstimateIsTheWeightedMeanMinusTheCentre() {
        withNetwork((map, drift, point) -> {
            int draws = 5;
            ValueFunction value = new ValueFunction(map, new Tilt(Rewards.curved(), 2), draws, Noise.IID, 2);
            ValueFunction.Draws drawn = value.draws(point);
            double[] samples = drawn.samples().toDoubleArray();
            double[] weights = drawn.scores().softmax(1).toDoubleArray();
            int size = samples.length / Points.ROWS / draws;
            Tensor base = new NoSteering(drift).at(point).base();
            double[] denoised = point.state().add(base.mul(1 - Points.TIME)).toDoubleArray();
            double[] byDraws = new double[Points.ROWS * size];
            double[] byDenoiser = new double[Points.ROWS * size];
            for (int i = 0; i < byDraws.length; i++) {
                double mean = 0;
                double weighted = 0;
                for (int draw = 0; draw < draws; draw++) {
                    double sample = samples[(i / size * draws + draw) * size + i % size];
                    mean += sample / draws;
                    weighted += weights[i / size * draws + draw] * sample;
                }
                byDraws[i] = (weighted - mean) / (1 - Points.TIME);
                byDenoiser[i] = (weighted - denoised[i]) / (1 - Points.TIME);
            }
            assertArrayEquals(byDraws, correction(new GradientFree(drift, value, Centre.DRAWS), point), 1e-12);
            assertArrayEquals(byDenoiser, correction(new GradientFree(drift, value, Centre.DENOISER), point), 1e-12);
        });
    }

    /** Near the data 1 - t is replaced by 1e-3. */
    @Test
    void theGradientFreeEstimateStaysFiniteNearTheData() {
        withNetwork((map, drift, point) -> {
            ValueFunction value = new ValueFunction(map, new Tilt(Rewards.curved(), 2), 4);
            Point near = new Point(0.9999, 0, point.state(), point.condition(), point.noise());
            ValueFunction.Draws drawn = value.draws(near);
            Tensor weighted = drawn.samples()
                    .reshape(Points.ROWS, 4, -1)
                    .mul(drawn.scores().softmax(1).unsqueeze(2))
                    .sum(1);
            Tensor mean = drawn.samples().reshape(Points.ROWS, 4, -1).mean(1);
            assertArrayEquals(
                    weighted.sub(mean).div(1e-3).toDoubleArray(),
                    correction(new GradientFree(drift, value, Centre.DRAWS), near),
                    1e-9);
        });
    }

    @Test
    void withOneDrawTheGradientFreeEstimateIsExactlyZeroAndAsksForNothing() {
        withNetwork((map, drift, point) -> {
            Reward never = Rewards.opaque(rows -> {
                throw new AssertionError("the reward was evaluated");
            });
            ValueGradient.Estimate none =
                    new GradientFree(drift, new ValueFunction(map, new Tilt(never, 1), 1), Centre.DRAWS).at(point);
            assertArrayEquals(new double[Points.ROWS * 32], none.correction().toDoubleArray());
            assertTrue(none.value().isEmpty());
            double[] some = correction(
                    new GradientFree(drift, new ValueFunction(map, new Tilt(Rewards.curved(), 1), 1), Centre.DENOISER),
                    point);
            assertTrue(Arrays.stream(some).anyMatch(x -> Math.abs(x) > 1e-3));
        });
    }

    @Test
    void anySplitOfTheDrawsGivesTheSameCorrection() {
        withNetwork((map, drift, point) -> {
            Tilt tilt = new Tilt(Rewards.curved(), 2.5);
            for (Noise noise : Noise.values()) {
                List<Function<ValueFunction, ValueGradient>> kinds = List.of(
                        value -> new MonteCarloGradient(drift, value, EXACT),
                        value -> new GradientFree(drift, value, Centre.DRAWS),
                        value -> new GradientFree(drift, value, Centre.DENOISER));
                for (Function<ValueFunction, ValueGradient> kind : kinds) {
                    double[] whole = correction(kind.apply(new ValueFunction(map, tilt, 10, noise, 10)), point);
                    for (int chunk : new int[] {1, 2, 3, 5}) {
                        double[] split = correction(kind.apply(new ValueFunction(map, tilt, 10, noise, chunk)), point);
                        assertArrayEquals(whole, split, 1e-12, noise + " in chunks of " + chunk);
                    }
                }
            }
        });
    }

    /** A score shifted by 10⁴ would overflow e^r. */
    @Test
    void aConstantAddedToTheRewardChangesNothing() {
        Reward shifted = Rewards.of(
                "shifted",
                rows -> Rewards.curved().score(rows, Condition.none()).add(1e4));
        withNetwork((map, drift, point) -> {
            List<ValueGradient> plain = Estimators.all(map, new Tilt(Rewards.curved(), 1), 6);
            List<ValueGradient> moved = Estimators.all(map, new Tilt(shifted, 1), 6);
            for (int i = 0; i < plain.size(); i++) {
                assertArrayEquals(correction(plain.get(i), point), correction(moved.get(i), point), 1e-8);
            }
        });
    }

    @Test
    void aConstantRewardSteersNowhere() {
        withNetwork((map, drift, point) -> {
            for (ValueGradient estimator : Estimators.all(map, new Tilt(Rewards.constant(-3.5), 2), 6)) {
                ValueGradient.Estimate estimate = estimator.at(point);
                if (estimator instanceof GradientFree free) {
                    // The denoiser is not the mean of these draws.
                    assertEquals(
                            free.centre() == Centre.DRAWS,
                            estimate.correction().abs().max().item() < 1e-12);
                } else {
                    assertEquals(0, estimate.correction().abs().max().item(), estimator.toString());
                }
                estimate.value().ifPresent(value -> assertEquals(-7, value.max().item(), 1e-12));
            }
        });
    }

    /**
     * For a Gaussian and a linear reward both estimators know the exact correction τ²λa/(1 - t), MFM-G with one draw.
     */
    @Test
    void theCoefficientIsExactForAGaussian() {
        double time = 0.3;
        double[] direction = {0.5, -0.4};
        try (TensorScope scope = TensorScope.open();
                GaussianMap map = new GaussianMap()) {
            Tensor state = Torch.of(new double[] {0.7, -0.2}, 1, 2);
            Point point = new Point(time, 0, state, Condition.none(), Points.noise(Shape.of(2), 1));
            Tilt tilt = new Tilt(Rewards.linear(direction), 1.5);
            Drift drift = new NetworkDrift(map, false);
            double[] one = correction(new MonteCarloGradient(drift, new ValueFunction(map, tilt, 1), EXACT), point);
            ValueFunction many = new ValueFunction(map, tilt, 40_000, Noise.IID, 10_000);
            double[] free = correction(new GradientFree(drift, many, Centre.DRAWS), point);
            double[] denoised = correction(new GradientFree(drift, many, Centre.DENOISER), point);
            for (int i = 0; i < 2; i++) {
                double deviation = GaussianMap.posteriorDeviation(i, time);
                double exact = deviation * deviation * 1.5 * direction[i] / (1 - time);
                assertEquals(exact, one[i], 1e-12);
                assertEquals(exact, free[i], 0.04);
                assertEquals(exact, denoised[i], 0.04);
            }
        }
    }

    @Test
    void drawsOfNegativeInfinityHaveNoPart() {
        // Its gradient at 0 is infinity times 0.
        Reward half = Rewards.of("half", rows -> {
            Tensor first = rows.select(1, 0);
            return first.mul(first.gt(0).to(DType.FLOAT64)).log();
        });
        try (TensorScope scope = TensorScope.open();
                GaussianMap map = new GaussianMap()) {
            Tensor state = Torch.of(new double[] {-1.5, 0, 300, 0, -300, 0}, 3, 2);
            Point point = new Point(0.5, 0, state, Condition.none(), Points.noise(Shape.of(2), 3));
            for (int chunk : new int[] {8, 3}) {
                ValueFunction value = new ValueFunction(map, new Tilt(half, 1), 8, Noise.IID, chunk);
                for (ValueGradient estimator : List.of(
                        new MonteCarloGradient(new NetworkDrift(map, false), value, EXACT),
                        new GradientFree(new NetworkDrift(map, false), value, Centre.DRAWS),
                        new GradientFree(new NetworkDrift(map, false), value, Centre.DENOISER),
                        new PosteriorMeanGradient(new NetworkDrift(map, false), value.tilt(), EXACT))) {
                    ValueGradient.Estimate estimate = estimator.at(point);
                    double[] correction = estimate.correction().toDoubleArray();
                    assertTrue(Arrays.stream(correction).allMatch(Double::isFinite), Arrays.toString(correction));
                    // The denoiser is not the mean of these draws, so its sign is not checked.
                    assertTrue(
                            correction[2] > 0
                                    || (estimator instanceof GradientFree free && free.centre() == Centre.DENOISER),
                            "towards larger values");
                    assertEquals(0, correction[4]);
                    assertEquals(0, correction[5]);
                    assertEquals(
                            Double.NEGATIVE_INFINITY,
                            estimate.value().orElseThrow().select(0, 2).item());
                    if (estimator instanceof MonteCarloGradient) {
                        double[] slopes = differences(point, value::at);
                        assertArrayEquals(Arrays.copyOf(slopes, 4), Arrays.copyOf(correction, 4), 1e-6);
                    }
                }
            }
        }
    }

    @Test
    void anItemsEstimateDoesNotDependOnItsBatch() {
        withNetwork((map, drift, point) -> {
            for (ValueGradient estimator : Estimators.all(map, new Tilt(Rewards.curved(), 1), 3)) {
                Tensor together = estimator.at(point).correction();
                for (int row = 0; row < Points.ROWS; row++) {
                    Point alone = new Point(
                            point.time(),
                            point.step(),
                            point.state().narrow(0, row, 1),
                            point.condition().slice(row, 1),
                            ((KeyedNoise) point.noise()).slice(row, 1));
                    assertArrayEquals(together.select(0, row).toDoubleArray(), correction(estimator, alone), 1e-12);
                }
            }
        });
    }

    @Test
    void nothingIsReadAndNothingIsLeft() {
        withNetwork((map, drift, point) -> {
            try (ScoreGuard guard = new ScoreGuard()) {
                Point guarded = Points.guarded(point, guard);
                for (ValueGradient estimator : Estimators.all(map, new Tilt(Rewards.curved(), 1), 4)) {
                    try (TensorScope warm = TensorScope.open()) {
                        estimator.at(guarded);
                    }
                    long reads = HostReads.count();
                    long live = NativeMemory.liveTensors();
                    try (TensorScope scope = TensorScope.open()) {
                        ValueGradient.Estimate estimate = estimator.at(guarded);
                        assertEquals(estimate.value().isPresent() ? 3 : 2, scope.size());
                        assertFalse(estimate.base().requiresGrad());
                        assertFalse(estimate.correction().requiresGrad());
                    }
                    assertEquals(reads, HostReads.count(), estimator.toString());
                    assertEquals(live, NativeMemory.liveTensors(), estimator.toString());
                }
                guard.check();
            }
        });
    }

    /** Also if the caller does not record gradients, and with a map whose weights require gradients. */
    @Test
    void noGradientReachesTheWeights() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer();
                Autograd.Mode off = Autograd.noGrad()) {
            Point exact = Points.of(map);
            Point point = new Point(
                    exact.time(),
                    exact.step(),
                    exact.state().to(DType.FLOAT32),
                    exact.condition(),
                    KeyedNoise.of(1, 0, Points.ROWS, 1, map.itemShape(), Device.CPU));
            Tensor gradients = map.parameters().gradients();
            for (ValueGradient estimator : Estimators.all(map, new Tilt(Rewards.curved(), 1), 4)) {
                Supplier<Tensor> run = () -> estimator.at(point).correction();
                Tensor correction = run.get();
                assertEquals(DType.FLOAT32, correction.dtype());
                assertEquals(0, gradients.abs().max().item());
                assertArrayEquals(correction.toFloatArray(), run.get().toFloatArray());
            }
        }
    }

    @Test
    void evaluationsAreThePapers() {
        withNetwork((map, drift, point) -> {
            Condition none = Condition.none();
            long[] expected = {1, 1 + 4 * 8, 1 + 2 * 8, 1 + 2 * 8, 4, 1 + 4};
            List<ValueGradient> all = Estimators.all(map, new Tilt(Rewards.curved(), 1), 8);
            for (int i = 0; i < expected.length; i++) {
                assertEquals(
                        expected[i], all.get(i).evaluations(none), all.get(i).toString());
            }
        });
    }

    @Test
    void aRewardWithoutGradientsIsRefusedWhereOneIsNeeded() {
        withNetwork((map, drift, point) -> {
            Tilt opaque = new Tilt(Rewards.opaque(rows -> rows.sum(1)), 1);
            String advice = "reward opaque has no gradients. Steer by it without them";
            ValueFunction value = new ValueFunction(map, opaque, 2);
            illegalArgument(advice, () -> new MonteCarloGradient(drift, value, EXACT));
            illegalArgument(advice, () -> new PosteriorMeanGradient(drift, opaque, EXACT));
            illegalArgument(advice, () -> new LookAheadGradient(drift, map, opaque, EXACT));
            new GradientFree(drift, value, Centre.DRAWS).at(point);
            Reward claims = Rewards.of("claims", rows -> rows.detach().sum(1));
            MonteCarloGradient cut =
                    new MonteCarloGradient(drift, new ValueFunction(map, new Tilt(claims, 1), 2), EXACT);
            illegalArgument("reward claims says that it has gradients", () -> cut.at(point));
        });
    }
}
