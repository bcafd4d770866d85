package org.metaflowmaps.training.loss;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Each weighting compared with plain Java: an item's loss, the factor of its error in the gradient, and the reported
 * error.
 */
final class WeightingTest {
    private static final int BATCH = 4;
    private static final int ENTRIES = 2 * 3 * 3;

    /** Only the learned weightings use it. */
    private static final Pair PAIR = pair();

    private static final double LOG = 0.7;
    private static final TimeWeight OMEGA = constant();

    @AfterAll
    static void close() {
        OMEGA.close();
    }

    /** ω is equal at all times. */
    private static TimeWeight constant() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2);
                Autograd.Mode off = Autograd.noGrad()) {
            TimeWeight omega = new TimeWeight(Device.CPU, random);
            omega.parameters().get("fc2.bias").fill_(LOG);
            return omega;
        }
    }

    private static Pair pair() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor zeros = Torch.zeros(BATCH).retain();
            return new Pair(zeros, zeros, null, zeros, zeros, new Context(zeros, zeros));
        }
    }

    /** Functions of an item's summed squared error. */
    record Rule(Weighting weighting, DoubleUnaryOperator loss, DoubleUnaryOperator slope) {
        @Override
        public String toString() {
            return weighting.toString();
        }
    }

    static Stream<Rule> rules() {
        return Stream.of(
                new Rule(new Weighting.L2(), e -> e, e -> 1),
                new Rule(new Weighting.LogVariance(), e -> Math.log(1 + e / ENTRIES), e -> 1 / (ENTRIES + e)),
                new Rule(
                        new Weighting.Learned(OMEGA),
                        e -> Math.exp(-LOG) * e / ENTRIES + LOG,
                        e -> Math.exp(-LOG) / ENTRIES),
                new Rule(
                        new Weighting.LearnedLogarithm(OMEGA, 0.01),
                        e -> Math.log(Math.exp(-LOG) * e / ENTRIES + 0.01) + LOG,
                        e -> Math.exp(-LOG) / ENTRIES / (Math.exp(-LOG) * e / ENTRIES + 0.01)),
                adaptive(1, 0.01),
                adaptive(0.5, 0.01),
                adaptive(0, 1),
                adaptive(0.75, 10));
    }

    private static Rule adaptive(double p, double c) {
        DoubleUnaryOperator scale = e -> Math.pow(e + c, -p);
        return new Rule(new Weighting.Adaptive(p, c), e -> e * scale.applyAsDouble(e), scale);
    }

    @ParameterizedTest
    @MethodSource("rules")
    void lossGradientAndReport(Rule rule) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            Tensor prediction = random.normal(BATCH, 2, 3, 3).requiresGrad_(true);
            Tensor target = random.normal(BATCH, 2, 3, 3);
            LossValue weighted = rule.weighting.apply(new Regression(prediction, target), PAIR);
            float[] p = prediction.toFloatArray();
            float[] t = target.toFloatArray();
            double loss = 0;
            double reported = 0;
            double[] gradient = new double[p.length];
            for (int item = 0; item < BATCH; item++) {
                double error = 0;
                for (int i = item * ENTRIES; i < (item + 1) * ENTRIES; i++) {
                    error += Math.pow((double) p[i] - t[i], 2);
                }
                loss += rule.loss.applyAsDouble(error) / BATCH;
                reported += error / BATCH;
                for (int i = item * ENTRIES; i < (item + 1) * ENTRIES; i++) {
                    gradient[i] = rule.slope.applyAsDouble(error) * 2 * ((double) p[i] - t[i]) / BATCH;
                }
            }
            assertEquals(loss, weighted.loss().item(), 1e-5 * Math.abs(loss));
            assertEquals(reported, weighted.error().item(), 1e-5 * reported);
            assertFalse(weighted.error().requiresGrad());
            Tensor actual =
                    Autograd.gradients(weighted.loss(), List.of(prediction)).getFirst();
            assertArrayEquals(gradient, actual.toDoubleArray(), 1e-5);
        }
    }

    @Test
    void itemsCountByTheirWeights() {
        rules().forEach(rule -> {
            try (TensorScope scope = TensorScope.open();
                    RandomSource random = RandomSource.seeded(4)) {
                Regression two =
                        new Regression(random.normal(2, 5), random.normal(2, 5), Torch.of(new float[] {3, 0.5f}));
                Tensor zeros = Torch.zeros(2);
                Context context = new Context(zeros, zeros);
                Pair pair = new Pair(zeros, zeros, null, zeros, zeros, context);
                double expected = 0;
                double error = 0;
                for (int i = 0; i < 2; i++) {
                    Regression one = new Regression(
                            two.prediction().narrow(0, i, 1), two.target().narrow(0, i, 1));
                    Tensor zero = Torch.zeros(1);
                    double loss = rule.weighting
                            .apply(one, new Pair(zero, zero, null, zero, zero, new Context(zero, zero)))
                            .loss()
                            .item();
                    expected += loss * (i == 0 ? 3 : 0.5) / 2;
                    error += one.squares().item() * (i == 0 ? 3 : 0.5) / 2;
                }
                assertEquals(
                        expected,
                        rule.weighting.apply(two, pair).loss().item(),
                        1e-5 * Math.abs(expected),
                        rule.toString());
                assertEquals(error, rule.weighting.apply(two, pair).error().item(), 1e-5 * error, rule.toString());
            }
        });
    }

    @Test
    void numbersOutOfRangeAreRefused() {
        assertRefused(() -> new Weighting.Adaptive(1.5, 0.01), "p is 1.5", "0 to 1");
        assertRefused(() -> new Weighting.Adaptive(Double.NaN, 0.01), "p is NaN");
        assertRefused(() -> new Weighting.LearnedLogarithm(OMEGA, 0), "c is 0.0", "more than 0");
        assertRefused(() -> new Weighting.Adaptive(1, 0), "c is 0.0", "more than 0");
    }
}
