package org.metaflowmaps.training.optim;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Optimisers compared with their papers' formulas in double precision, one number at a time. */
final class OptimizerTest {
    private static final int STEPS = 20;
    private static final double RATE = 3e-2;
    private static final double EPS = 1e-6;

    /** One number's update from its value, gradient and both moments; updates the moments. */
    private interface Rule {
        double step(double value, double gradient, double[] moments, int step);
    }

    private static ParameterArena arena() {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        shapes.put("first", Shape.of(3, 5));
        shapes.put("second", Shape.of(70));
        return new ParameterArena(shapes, Device.CPU);
    }

    private static void compare(Function<ParameterArena, Optimizer> make, Rule rule) {
        try (ParameterArena arena = arena();
                Optimizer optimizer = make.apply(arena);
                RandomSource random = RandomSource.seeded(9);
                TensorScope scope = TensorScope.open()) {
            int count = (int) arena.values().numel();
            try (Autograd.Mode off = Autograd.noGrad()) {
                arena.values().copy_(random.normal(count));
            }
            double[] values = arena.values().toDoubleArray();
            double[][] moments = new double[count][2];
            for (int step = 1; step <= STEPS; step++) {
                // Sizes that differ by a factor of a thousand, and zeros, so that every term of a formula matters.
                Tensor gradient = random.normal(count)
                        .mul(random.uniform(count).mul(7).exp().mul(1e-3))
                        .mul(random.uniform(count).gt(0.1));
                arena.gradients().copy_(gradient);
                double[] slopes = gradient.toDoubleArray();
                optimizer.step(RATE);
                for (int i = 0; i < count; i++) {
                    values[i] = rule.step(values[i], slopes[i], moments[i], step);
                }
                assertEquals(step, optimizer.steps());
                assertArrayEquals(values, arena.values().toDoubleArray(), 1e-5, "step " + step);
            }
        }
    }

    @Test
    void adamWIsThatOfTheFormula() {
        for (double decay : new double[] {0, 0.3}) {
            compare(arena -> new AdamW(arena, 0.9, 0.95, EPS, decay), (value, gradient, moments, step) -> {
                moments[0] = 0.9 * moments[0] + 0.1 * gradient;
                moments[1] = 0.95 * moments[1] + 0.05 * gradient * gradient;
                double mean = moments[0] / (1 - Math.pow(0.9, step));
                double square = moments[1] / (1 - Math.pow(0.95, step));
                return value - RATE * decay * value - RATE * mean / (Math.sqrt(square) + EPS);
            });
        }
    }

    /** With β₂ = 0.95 the first steps are plain momentum and later ones rectified, so both branches are tested. */
    @Test
    void rectifiedAdamIsThatOfTheFormula() {
        int[] plain = {0};
        compare(arena -> new RAdam(arena, 0.9, 0.95, EPS), (value, gradient, moments, step) -> {
            moments[0] = 0.9 * moments[0] + 0.1 * gradient;
            moments[1] = 0.95 * moments[1] + 0.05 * gradient * gradient;
            double mean = moments[0] / (1 - Math.pow(0.9, step));
            double longest = 2 / (1 - 0.95) - 1;
            double left = Math.pow(0.95, step);
            double length = longest - 2 * step * left / (1 - left);
            if (length <= 5) {
                plain[0]++;
                return value - RATE * mean;
            }
            double trust = Math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length));
            return value - RATE * mean * trust * Math.sqrt(1 - left) / (Math.sqrt(moments[1]) + EPS);
        });
        assertEquals(5, plain[0] / 192, "steps of plain momentum");
    }

    @Test
    void goesOnFromRestoredMomentsAsIfNeverStopped() {
        for (Function<ParameterArena, Optimizer> make : List.<Function<ParameterArena, Optimizer>>of(
                arena -> new RAdam(arena, 0.9, 0.95, EPS), arena -> new AdamW(arena, 0.9, 0.95, EPS, 0.1))) {
            try (ParameterArena arena = arena();
                    ParameterArena resumed = arena();
                    Optimizer whole = make.apply(arena);
                    Optimizer second = make.apply(resumed);
                    RandomSource random = RandomSource.seeded(1);
                    TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                for (int step = 0; step < 14; step++) {
                    arena.gradients().copy_(random.normal(arena.gradients().numel()));
                    resumed.gradients().copy_(arena.gradients());
                    if (step == 7) {
                        resumed.values().copy_(arena.values());
                        whole.moments()
                                .forEach((name, moment) -> Objects.requireNonNull(
                                                second.moments().get(name))
                                        .copy_(moment));
                        second.resumeAt(whole.steps());
                    }
                    whole.step(RATE);
                    if (step >= 7) {
                        second.step(RATE);
                    }
                }
                assertArrayEquals(
                        arena.values().toFloatArray(), resumed.values().toFloatArray());
            }
        }
    }

    /**
     * A skipped step keeps values, moments and the number of updates bit for bit, for any gradients; later updates
     * equal those of a run without it.
     */
    @Test
    void aSkippedStepChangesNothing() {
        for (Function<ParameterArena, Optimizer> make : List.<Function<ParameterArena, Optimizer>>of(
                arena -> new RAdam(arena, 0.9, 0.95, EPS), arena -> new AdamW(arena, 0.9, 0.95, EPS, 0.1))) {
            try (ParameterArena arena = arena();
                    ParameterArena plain = arena();
                    Optimizer optimizer = make.apply(arena);
                    Optimizer other = make.apply(plain);
                    MovingAverage average = new MovingAverage(arena, 0.9, 0);
                    RandomSource random = RandomSource.seeded(3);
                    TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                Tensor rate = Torch.full(RATE, DType.FLOAT64, Device.CPU);
                for (int step = 0; step < 12; step++) {
                    List<Tensor> state = List.of(
                            arena.values(),
                            Objects.requireNonNull(optimizer.moments().get("exp_avg")),
                            Objects.requireNonNull(optimizer.moments().get("exp_avg_sq")),
                            average.values());
                    List<Tensor> before = state.stream().map(Tensor::clone).toList();
                    arena.gradients().copy_(random.normal(arena.gradients().numel()));
                    arena.gradients()
                            .narrow(0, step % 3, 5)
                            .fill_(step % 2 == 0 ? Double.NaN : Double.NEGATIVE_INFINITY);
                    optimizer.step(rate, Torch.scalar(1));
                    average.update(step, Torch.scalar(1));
                    for (int i = 0; i < state.size(); i++) {
                        assertArrayEquals(
                                before.get(i).toFloatArray(),
                                state.get(i).toFloatArray(),
                                "buffer " + i + ", step " + step);
                    }
                    assertEquals(step, optimizer.steps());
                    arena.gradients().copy_(random.normal(arena.gradients().numel()));
                    plain.gradients().copy_(arena.gradients());
                    optimizer.step(rate, Torch.scalar(0));
                    average.update(step, Torch.scalar(0));
                    other.step(RATE);
                    assertArrayEquals(
                            plain.values().toFloatArray(), arena.values().toFloatArray(), "after step " + step);
                }
                assertTrue(average.values().sub(arena.values()).norm().item() > 0);
            }
        }
    }

    /** A rate of 0 changes nothing, also for parameters that never had a gradient. */
    @Test
    void aRateOfZeroMovesNothing() {
        for (double rate : new double[] {0, 1e-45, 1e-38}) {
            try (ParameterArena arena = arena();
                    RAdam optimizer = new RAdam(arena, 0.9, 0.95, EPS);
                    TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                arena.gradients().narrow(0, 0, 3).fill_(1);
                for (int step = 0; step < 12; step++) {
                    optimizer.step(Torch.full(rate, DType.FLOAT64, Device.CPU), Torch.scalar(0));
                }
                assertTrue(arena.values().abs().max().item() <= 20 * rate, "rate " + rate);
            }
        }
    }

    @Test
    void numbersOutOfRangeAreRefused() {
        try (ParameterArena arena = arena()) {
            assertRefused(() -> new RAdam(arena, 1, 0.999, 1e-8), "beta1 is 1.0");
            assertRefused(() -> new RAdam(arena, 0.9, -0.1, 1e-8), "beta2 is -0.1");
            assertRefused(() -> new RAdam(arena, 0.9, 0.999, 0), "eps is 0.0");
            assertRefused(() -> new AdamW(arena, Double.NaN, 0.999, 1e-8, 0), "beta1 is NaN");
            assertRefused(() -> new AdamW(arena, 0.9, 0.999, 1e-8, -1), "weight decay is -1.0");
        }
    }
}
