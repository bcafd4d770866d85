package org.metaflowmaps.steering.value;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.ValueFunction.Noise;

/**
 * The bias of V̂_N at one state of a one-dimensional mixture: it falls as 1/N, the estimate from the scores is
 * accurate, and the jackknife removes most of it. Components ±1.5, variance 0.25, equal; t = 0.4, x = 0.1; r = -(z -
 * 1)²/0.5.
 */
final class ValueBiasTest {
    private static final double TIME = 0.4;
    private static final double STATE = 0.1;
    private static final int RUNS = 200_000;
    private static final int ROWS = 20_000;

    /** The posterior N(±…) of the clean value, by Bayes' rule. */
    private static final double SEEN = 0.36 + 0.16 * 0.25;

    private static final double DEVIATION = Math.sqrt(0.25 * 0.36 / SEEN);
    private static final double[] MEANS = {mean(-1.5), mean(1.5)};
    private static final double[] WEIGHTS = weights();

    private static double mean(double centre) {
        return centre + TIME * 0.25 / SEEN * (STATE - TIME * centre);
    }

    private static double[] weights() {
        double low = Math.exp(-0.5 * Math.pow(STATE + TIME * 1.5, 2) / SEEN);
        double high = Math.exp(-0.5 * Math.pow(STATE - TIME * 1.5, 2) / SEEN);
        return new double[] {low / (low + high), high / (low + high)};
    }

    /** A map of posterior draws only at that state: the quantile of the posterior at the noise's level. */
    private static final class Quantiles implements MetaFlowMap {
        private static final double REACH = 7;
        private static final int CELLS = 200_000;

        private final ParameterArena none = new ParameterArena(Map.of("unused", Shape.of(1)), Device.CPU);
        private final Tensor table;

        /** Computed by bisection, on a grid of noise values. */
        Quantiles() {
            double[] values = new double[CELLS + 1];
            try (TensorScope scope = TensorScope.open()) {
                Tensor noise = Torch.arange(CELLS + 1L)
                        .to(DType.FLOAT64)
                        .mul(2 * REACH / CELLS)
                        .sub(REACH);
                Tensor level = tail(noise);
                Tensor low = Torch.full(-12, DType.FLOAT64, Device.CPU, CELLS + 1L);
                Tensor high = low.neg();
                for (int i = 0; i < 60; i++) {
                    Tensor middle = low.add(high).mul(0.5);
                    Tensor above = Torch.zerosLike(middle);
                    for (int k = 0; k < 2; k++) {
                        above = above.add(
                                tail(middle.sub(MEANS[k]).div(DEVIATION)).mul(WEIGHTS[k]));
                    }
                    Tensor left = above.gt(level);
                    low = Torch.where(left, middle, low);
                    high = Torch.where(left, high, middle);
                }
                System.arraycopy(low.toDoubleArray(), 0, values, 0, values.length);
                table = Torch.of(values).retain();
            }
        }

        private static Tensor tail(Tensor value) {
            return value.mul(Math.sqrt(0.5)).erfc().mul(0.5);
        }

        @Override
        public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
            try (TensorScope scope = TensorScope.open()) {
                Tensor noise = state.primal();
                Tensor place = noise.add(REACH).mul(CELLS / (2 * REACH)).reshape(-1);
                Tensor cell = place.floor();
                Tensor left = table.indexSelect(0, cell.to(DType.INT64));
                Tensor right = table.indexSelect(0, cell.add(1).to(DType.INT64));
                Tensor drawn = left.lerp(right, place.sub(cell));
                return Dual.constant(scope.keep(drawn.reshape(noise.shape()).sub(noise)));
            }
        }

        @Override
        public Shape itemShape() {
            return Shape.of(1);
        }

        @Override
        public int classes() {
            return 0;
        }

        @Override
        public ParameterArena parameters() {
            return none;
        }

        @Override
        public void close() {
            table.close();
            none.close();
        }
    }

    /** log E e^{p·r}, a product of Gaussians. */
    private static double logMoment(double power) {
        double precision = power * 4;
        double sum = 0;
        for (int k = 0; k < 2; k++) {
            double spread = 1 + precision * DEVIATION * DEVIATION;
            sum += WEIGHTS[k] * Math.exp(-0.5 * precision * Math.pow(MEANS[k] - 1, 2) / spread) / Math.sqrt(spread);
        }
        return Math.log(sum);
    }

    /** Means over runs: the bias of V̂, its estimate, and the bias of the jackknife. */
    private static double[] biases(MetaFlowMap map, int draws) {
        Reward reward =
                Rewards.of("square", rows -> rows.select(1, 0).sub(1).square().mul(-2));
        ValueFunction value = new ValueFunction(map, new Tilt(reward, 1), draws, Noise.IID, draws);
        double truth = logMoment(1);
        double[] sums = new double[3];
        for (int first = 0; first < RUNS; first += ROWS) {
            try (TensorScope scope = TensorScope.open()) {
                long[] items = new long[ROWS];
                for (int i = 0; i < ROWS; i++) {
                    items[i] = (long) first + i;
                }
                KeyedNoise noise = new KeyedNoise(8, items, 1, Shape.of(1), DType.FLOAT64, Device.CPU);
                Tensor state = Torch.full(STATE, DType.FLOAT64, Device.CPU, ROWS, 1);
                ValueFunction.Report report = value.report(new Point(TIME, draws, state, Condition.none(), noise));
                sums[0] += report.value().sub(truth).sum().item();
                sums[1] += report.bias().sum().item();
                sums[2] += report.jackknife().sub(truth).sum().item();
            }
        }
        return new double[] {sums[0] / RUNS, sums[1] / RUNS, sums[2] / RUNS};
    }

    @Test
    void theBiasFallsAsOneOverN(TestReporter reporter) {
        double variation = Math.expm1(logMoment(2) - 2 * logMoment(1));
        try (MetaFlowMap map = new Quantiles()) {
            double[] bias16 = biases(map, 16);
            double[] bias32 = biases(map, 32);
            double[] bias64 = biases(map, 64);
            String found = "bias %.5f %.5f %.5f, estimated %.5f %.5f %.5f, jackknife %.5f %.5f %.5f, CV² %.4f"
                    .formatted(
                            bias16[0], bias32[0], bias64[0], bias16[1], bias32[1], bias64[1], bias16[2], bias32[2],
                            bias64[2], variation);
            reporter.publishEntry("bias", found);
            assertFalls(bias16[0] / bias32[0], found);
            assertFalls(bias32[0] / bias64[0], found);
            assertEquals(1, bias64[0] / (-variation / 128), 0.15, found);
            for (double[] bias : new double[][] {bias16, bias32, bias64}) {
                assertTrue(bias[0] < 0, found);
                assertEquals(1, bias[1] / bias[0], 0.25, found);
                assertEquals(0, bias[2] / bias[0], 0.2, found);
            }
        }
    }

    private static void assertFalls(double ratio, String found) {
        assertTrue(ratio > 1.7 && ratio < 2.5, found);
    }
}
