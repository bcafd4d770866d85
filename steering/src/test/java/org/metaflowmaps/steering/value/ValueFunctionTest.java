package org.metaflowmaps.steering.value;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;
import static org.metaflowmaps.runtime.Refusal.illegalState;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorException;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.GaussianMap;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.ValueFunction.Noise;

/** V̂_N compared with closed forms and plain sums, for all chunk sizes. */
final class ValueFunctionTest {
    private static final double[] DIRECTION = {1.2, -0.8};

    /** Fails like a full device for more rows than a limit. */
    private record SmallMemory(MetaFlowMap map, int rows) implements MetaFlowMap {
        @Override
        public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
            if (state.primal().size(0) > rows) {
                Torch.zeros(1L << 50);
            }
            return map.averageVelocity(start, end, state, context);
        }

        @Override
        public Shape itemShape() {
            return map.itemShape();
        }

        @Override
        public int classes() {
            return map.classes();
        }

        @Override
        public ParameterArena parameters() {
            return map.parameters();
        }

        @Override
        public void close() {}
    }

    private static void assertNear(double[] expected, Tensor actual, double bound) {
        assertArrayEquals(expected, actual.toDoubleArray(), bound);
    }

    /** V = λa·m(x) + ½λ²Σ a²τ² for one Gaussian; e^V̂ is unbiased with known variance. */
    @Test
    void agreesWithTheClosedFormOfAGaussian() {
        int draws = 40_000;
        double strength = 0.9;
        try (TensorScope scope = TensorScope.open();
                GaussianMap map = new GaussianMap()) {
            double[] states = {0.3, -1.0, 1.4, 0.2};
            Tensor state = Torch.of(states, 2, 2);
            Point point = new Point(0.4, 0, state, Condition.none(), Points.noise(Shape.of(2), 2));
            for (Noise noise : Noise.values()) {
                double[] value = new ValueFunction(
                                map, new Tilt(Rewards.linear(DIRECTION), strength), draws, noise, 8192)
                        .at(point)
                        .toDoubleArray();
                for (int row = 0; row < 2; row++) {
                    double expected = 0;
                    double variance = 0;
                    for (int i = 0; i < 2; i++) {
                        double slope = strength * DIRECTION[i];
                        double deviation = slope * GaussianMap.posteriorDeviation(i, 0.4);
                        expected += slope * GaussianMap.posteriorMean(i, 0.4, states[2 * row + i]);
                        variance += deviation * deviation;
                    }
                    expected += variance / 2;
                    double error = Math.sqrt(Math.expm1(variance) / draws);
                    assertEquals(expected, value[row], 4 * error, noise + ", row " + row);
                }
            }
        }
    }

    @Test
    void anySplitOfTheDrawsGivesTheSameValue() {
        long live = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = Points.network()) {
            Point point = Points.of(map);
            Tilt tilt = new Tilt(Rewards.curved(), 1.7);
            for (Noise noise : Noise.values()) {
                double[] whole =
                        new ValueFunction(map, tilt, 10, noise, 10).at(point).toDoubleArray();
                for (int chunk : new int[] {1, 2, 3, 5, 64}) {
                    assertNear(whole, new ValueFunction(map, tilt, 10, noise, chunk).at(point), 1e-12);
                }
            }
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void drawsAreTheMapsWithTheirScores() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = Points.network()) {
            Point point = Points.of(map);
            Tilt tilt = new Tilt(Rewards.curved(), -0.6);
            int draws = 6;
            for (Noise noise : Noise.values()) {
                ValueFunction value = new ValueFunction(map, tilt, draws, noise, 4);
                ValueFunction.Draws found = value.draws(point);
                assertEquals(
                        map.itemShape().prepend(Points.ROWS, draws),
                        found.samples().shape());
                double[] mean = new double[Points.ROWS];
                for (int i = 0; i < draws; i++) {
                    int number = noise == Noise.IID ? i : i / 2;
                    Tensor epsilon = point.noise()
                            .normal(SteeringNoise.Use.DRAW, Points.STEP, number, 1)
                            .select(1, 0)
                            .mul(noise == Noise.ANTITHETIC && i % 2 == 1 ? -1 : 1);
                    Tensor zero = Torch.zeros(DType.FLOAT64, Device.CPU, Points.ROWS);
                    Tensor sample = map.flowMap(
                            zero,
                            zero.add(1),
                            epsilon,
                            new Context(zero.add(Points.TIME), point.state(), point.condition()));
                    assertNear(sample.toDoubleArray(), found.samples().select(1, i), 1e-12);
                    double[] scores = tilt.at(sample, point.condition()).toDoubleArray();
                    assertNear(scores, found.scores().select(1, i), 1e-12);
                    for (int row = 0; row < mean.length; row++) {
                        mean[row] += Math.exp(scores[row]) / draws;
                    }
                }
                double[] logs = Arrays.stream(mean).map(Math::log).toArray();
                assertNear(logs, value.at(point), 1e-12);
            }
        }
    }

    @Test
    void negativeInfinityIsALegalScore() {
        Reward half = Rewards.of("half", rows -> rows.select(1, 0).relu().log());
        try (TensorScope scope = TensorScope.open();
                GaussianMap map = new GaussianMap();
                ScoreGuard guard = new ScoreGuard()) {
            Tensor state = Torch.of(new double[] {-1.5, 0, 300, 0, -300, 0}, 3, 2);
            Point point = new Point(0.5, 0, state, Condition.none(), Points.noise(Shape.of(2), 3), guard);
            ValueFunction value = new ValueFunction(map, new Tilt(half, 1), 8, Noise.IID, 3);
            ValueFunction.Draws draws = value.draws(point);
            double[] first = draws.samples().select(2, 0).toDoubleArray();
            double[] values = value.at(point).toDoubleArray();
            for (int row = 0; row < 2; row++) {
                double mean = 0;
                boolean cut = false;
                for (int i = 0; i < 8; i++) {
                    mean += Math.max(0, first[8 * row + i]) / 8;
                    cut |= first[8 * row + i] < 0;
                }
                assertEquals(row == 0, cut, "row " + row + " has draws without weight");
                assertEquals(Math.log(mean), values[row], 1e-12);
            }
            assertEquals(Double.NEGATIVE_INFINITY, values[2]);
            guard.check();
        }
    }

    @Test
    void goesOnWithFewerDrawsAtOnceWhenMemoryIsShort() {
        long live = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = Points.network()) {
            Point point = Points.of(map);
            Tilt tilt = new Tilt(Rewards.curved(), 1);
            double[] whole = new ValueFunction(map, tilt, 12).at(point).toDoubleArray();
            ValueFunction small = new ValueFunction(new SmallMemory(map, 3 * Points.ROWS), tilt, 12);
            assertEquals(12, small.chunk());
            assertNear(whole, small.at(point), 1e-12);
            assertEquals(3, small.chunk());
            MonteCarloGradient gradient = new MonteCarloGradient(
                    (time, state, condition) -> Torch.zerosLike(state),
                    new ValueFunction(new SmallMemory(map, 2 * Points.ROWS), tilt, 12),
                    Coefficient.PAPER);
            assertNear(whole, gradient.at(point).value().orElseThrow(), 1e-12);
            assertEquals(1, gradient.value().chunk());
            ValueFunction none = new ValueFunction(new SmallMemory(map, 1), tilt, 12);
            assertTrue(assertThrows(TensorException.class, () -> none.at(point)).isOutOfMemory());
            ValueFunction wrong = new ValueFunction(map, new Tilt(Rewards.of("wrong", x -> x.matmul(x)), 1), 12);
            assertThrows(TensorException.class, () -> wrong.at(point));
            assertEquals(12, wrong.chunk());
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void theReportIsTheJackknifeByItsDefinition() {
        int draws = 16;
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = Points.network()) {
            Point point = Points.of(map);
            ValueFunction value = new ValueFunction(map, new Tilt(Rewards.curved(), 3), draws, Noise.IID, 5);
            ValueFunction.Report report = value.report(point);
            assertNear(value.at(point).toDoubleArray(), report.value(), 0);
            double[] scores = value.draws(point).scores().toDoubleArray();
            for (int row = 0; row < Points.ROWS; row++) {
                double[] terms = new double[draws];
                double sum = 0;
                for (int i = 0; i < draws; i++) {
                    terms[i] = Math.exp(scores[row * draws + i]);
                    sum += terms[i];
                }
                double mean = sum / draws;
                double squares = 0;
                double without = 0;
                for (double term : terms) {
                    squares += (term - mean) * (term - mean) / (draws - 1);
                    without += Math.log((sum - term) / (draws - 1)) / draws;
                }
                assertEquals(
                        draws * Math.log(mean) - (draws - 1) * without,
                        report.jackknife().select(0, row).item(),
                        1e-10);
                assertEquals(
                        -squares / (mean * mean) / (2 * draws),
                        report.bias().select(0, row).item(),
                        1e-10);
            }
        }
    }

    /** One draw has nearly all the weight: the rest is not lost to rounding; without a rest there is no correction. */
    @Test
    void theJackknifeSurvivesOneDrawWithAllTheWeight() {
        try (TensorScope scope = TensorScope.open()) {
            double[] scores = new double[48];
            scores[5] = 100;
            for (int i = 16; i < 48; i++) {
                scores[i] = Double.NEGATIVE_INFINITY;
            }
            scores[20] = 2;
            double[] found = Jackknife.value(Torch.of(scores, 3, 16)).toDoubleArray();
            double whole = 100 - Math.log(16);
            double without = (15 * (100 - Math.log(15)) + 0) / 16;
            assertEquals(16 * whole - 15 * without, found[0], 1e-9);
            assertEquals(2 - Math.log(16), found[1], 1e-12);
            assertEquals(Double.NEGATIVE_INFINITY, found[2]);
        }
    }

    @Test
    void refusesSettingsThatMeanNothing() {
        Tilt tilt = new Tilt(Rewards.curved(), 1);
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = Points.network();
                MetaFlowMap flow =
                        SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 12, 2, 4).withoutContext())) {
            illegalArgument("without contexts", () -> new ValueFunction(flow, tilt, 4));
            illegalArgument("0 draws", () -> new ValueFunction(map, tilt, 0));
            illegalArgument(
                    "3 draws of antithetic noise, expected an even number",
                    () -> new ValueFunction(map, tilt, 3, Noise.ANTITHETIC, 1));
            illegalArgument("chunk is 0", () -> new ValueFunction(map, tilt, 4, Noise.IID, 0));
            Point point = Points.of(map);
            illegalState("15 draws of IID noise", () -> new ValueFunction(map, tilt, 15).report(point));
            illegalState("ANTITHETIC", () -> new ValueFunction(map, tilt, 16, Noise.ANTITHETIC, 16).report(point));
            illegalArgument(
                    "the noise of 4 draws is Tensor(float64[2, 4, 2, 4, 4] on cpu)",
                    () -> new ValueFunction(map, tilt, 4).at(Points.with(point, Points.noise(map.itemShape(), 2))));
        }
    }
}
