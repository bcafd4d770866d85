package org.metaflowmaps.models.drift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.mixture.Mixtures;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Transitions between two times, compared with closed-form laws and with the formula before cancelling (method §3.3).
 */
final class GlassTransitionTest {
    private static Tensor times(double value, long count) {
        return Torch.full(value, DType.FLOAT64, Device.CPU, count);
    }

    /** Integrates the inner flow to its end by fourth-order Runge-Kutta steps. */
    private static Tensor end(GlassTransition transition, Tensor state, Tensor noise, int steps) {
        long count = state.size(0);
        Tensor inner = transition.start(state, noise);
        double h = 1.0 / steps;
        for (int i = 0; i < steps; i++) {
            double s = i * h;
            Tensor one = transition.at(times(s, count), inner, state, Condition.none());
            Tensor two = transition.at(times(s + h / 2, count), inner.add(one.mul(h / 2)), state, Condition.none());
            Tensor three = transition.at(times(s + h / 2, count), inner.add(two.mul(h / 2)), state, Condition.none());
            Tensor four = transition.at(times(s + h, count), inner.add(three.mul(h)), state, Condition.none());
            inner = inner.add(one.add(two.mul(2)).add(three.mul(2)).add(four).mul(h / 6));
        }
        return inner;
    }

    @Test
    void toTheDataWithoutCorrelationItIsGlass() {
        int count = 51;
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(3);
                GaussianMixture mixture = Mixtures.skewed()) {
            Tensor start = Torch.arange(count).to(DType.FLOAT32).div(count - 1);
            Tensor x = random.normal(count, 2);
            Tensor inner = random.normal(count, 2);
            Tensor labels = Torch.full(1, DType.INT64, Device.CPU, count);
            for (double time : new double[] {0, 0.25, 0.5, 0.9}) {
                Tensor expected = new Glass(mixture.drift())
                        .at(start, inner, new Context(times(time, count), x, Condition.labelled(labels)));
                assertClose(
                        expected,
                        new GlassTransition(mixture.drift(), time, 1, 0)
                                .at(start, inner, x, Condition.labelled(labels)),
                        1e-5,
                        "t = " + time);
                assertClose(
                        expected,
                        new GlassTransition(mixture.drift(), time, 1).at(start, inner, x, Condition.labelled(labels)),
                        1e-5,
                        "DDPM's, t = " + time);
            }
        }
    }

    /**
     * Σ, S and t* in their original form, with the inverse of the 2×2 matrix and the weights w1 and w2 that divide by
     * σ̄.
     */
    @ParameterizedTest
    @CsvSource({
        "0.3, 0.6, 0.4",
        "0.3, 0.6, -0.8",
        "0.05, 0.95, 0.9",
        "0.6, 0.61, 0.5",
        "0.5, 1, 0",
        "0.4, 0.8, 1",
        "0.7, 0.9, 0"
    })
    void itIsTheFormulaBeforeCancelling(double t, double to, double rho) {
        try (TensorScope scope = TensorScope.open();
                GaussianMixture mixture = Mixtures.line()) {
            double sigma = 1 - t;
            double gamma = rho * (1 - to) / sigma;
            double tau = (1 - to) * Math.sqrt(1 - rho * rho);
            for (double s : new double[] {0.02, 0.3, 0.7, 0.95}) {
                double gain = s * (to - gamma * t);
                double noise = 1 - s + s * tau;
                double[] mean = {t, gain + gamma * t};
                double a = sigma * sigma;
                double b = gamma * sigma * sigma;
                double d = noise * noise + gamma * gamma * sigma * sigma;
                double determinant = a * d - b * b;
                double[] row = {(mean[0] * d - mean[1] * b) / determinant, (mean[1] * a - mean[0] * b) / determinant};
                double precision = row[0] * mean[0] + row[1] * mean[1];
                double x = 0.4;
                double inner = -0.7;
                double star = 1 / (1 + 1 / Math.sqrt(precision));
                double seen = (row[0] * x + row[1] * inner) / precision;
                double z = mixture.denoiser(times(star, 1), Torch.of(new double[] {star * seen}, 1, 1))
                        .item();
                double first = (tau - 1) / noise;
                double second = to - gamma * t - gain * first;
                double expected = first * inner + second * z - gamma * first * x;
                Tensor actual = new GlassTransition(mixture.drift(), t, to, rho)
                        .at(
                                times(s, 1),
                                Torch.of(new double[] {inner}, 1, 1),
                                Torch.of(new double[] {x}, 1, 1),
                                Condition.none());
                assertEquals(expected, actual.item(), 1e-5 * (1 + Math.abs(expected)), "s = " + s);
            }
        }
    }

    /**
     * For Gaussian data everything is linear: if I_1 | x_t has mean μ and variance λ, the end is (t' - γt)·μ + γ·x_t
     * plus the noise times √((t' - γt)²·λ + (1-t')²(1-ρ²)).
     */
    @ParameterizedTest
    @CsvSource({"0, 0.5, 0.7", "0.2, 0.7, 0.4", "0.5, 0.55, 0.9", "0.3, 1, 0.4", "0.6, 0.9, 1", "0.6, 0.9, -0.5"})
    void theEndHasTheLawOfTheTransition(double t, double to, double rho) {
        double centre = 0.8;
        double variance = 0.3;
        double gamma = rho * (1 - to) / (1 - t);
        double gain = to - gamma * t;
        double[] states = {-1, 0, 0.5, 2};
        double[] noises = {-1.5, 0, 1, 0.3};
        double[] expected = new double[states.length];
        for (int i = 0; i < states.length; i++) {
            double total = t * t * variance + (1 - t) * (1 - t);
            double mean = centre + t * variance / total * (states[i] - t * centre);
            double left = variance * (1 - t) * (1 - t) / total;
            double spread = Math.sqrt(gain * gain * left + (1 - to) * (1 - to) * (1 - rho * rho));
            expected[i] = gain * mean + gamma * states[i] + spread * noises[i];
        }
        try (TensorScope scope = TensorScope.open();
                GaussianMixture data = new GaussianMixture(
                        List.of(1.0),
                        List.of(new double[] {centre}),
                        List.<double[][]>of(new double[][] {{variance}}),
                        Device.CPU)) {
            Tensor end = end(
                    new GlassTransition(data.drift(), t, to, rho), Torch.of(states, 4, 1), Torch.of(noises, 4, 1), 100);
            assertClose(Torch.of(expected, 4, 1), end, 1e-5, t + " to " + to);
        }
    }

    /**
     * Mean and variance of x_{t'} given x_t for three modes; the posterior's variance is the denoiser's slope times
     * (1-t)²/t.
     */
    @Test
    void theMomentsOfAMixturesTransition() {
        double t = 0.4;
        double to = 0.7;
        int draws = 20_000;
        double x = 0.3;
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(8);
                GaussianMixture mixture = Mixtures.line()) {
            double rho = GlassTransition.ddpm(t, to);
            assertEquals(0.4 * 0.3 / (0.7 * 0.6), rho, 1e-12);
            Tensor end = end(
                    new GlassTransition(mixture.drift(), t, to),
                    times(x, draws).unsqueeze(1),
                    random.normal(draws, 1).to(DType.FLOAT64),
                    20);
            double[] around = mixture.denoiser(times(t, 3), Torch.of(new double[] {x - 1e-4, x, x + 1e-4}, 3, 1))
                    .toDoubleArray();
            double left = (around[2] - around[0]) / 2e-4 * (1 - t) * (1 - t) / t;
            double gamma = rho * (1 - to) / (1 - t);
            double gain = to - gamma * t;
            double variance = gain * gain * left + (1 - to) * (1 - to) * (1 - rho * rho);
            assertEquals(gain * around[1] + gamma * x, end.mean().item(), 4 * Math.sqrt(variance / draws));
            // The tolerance is that of a Gaussian, whose tails are heavier than those of these modes.
            assertEquals(variance, end.sub(end.mean()).square().mean().item(), 4 * Math.sqrt(2.0 / draws) * variance);
        }
    }

    @Test
    void everyInnerTimeIsFiniteAndTheFirstPointIsNoise() {
        double[] starts = {0, 1e-12, 0.5, 1};
        try (TensorScope scope = TensorScope.open()) {
            Tensor noise = Torch.of(new double[] {1, -2, 0.5, 3}, 4, 1);
            Tensor state = Torch.of(new double[] {9, 9, 9, 9}, 4, 1);
            Tensor start = Torch.of(starts);
            for (double[] times : new double[][] {{0, 1e-6}, {0, 1}, {0.5, 1}, {0.999, 1}}) {
                for (double rho : new double[] {-1, 0, 0.3, 1}) {
                    GlassTransition transition = new GlassTransition(
                            (time, point, condition) -> {
                                if (times[0] == 0) {
                                    assertEquals(1, point.narrow(0, 0, 1).item(), 1e-6, "x* at s = t = 0");
                                }
                                assertTrue(time.min().item() >= 0 && time.max().item() <= 1);
                                return point.mul(0.5);
                            },
                            times[0],
                            times[1],
                            rho);
                    long before = NativeMemory.liveTensors();
                    Tensor velocity = transition.at(start, transition.start(state, noise), state, Condition.none());
                    assertEquals(
                            before + 2, NativeMemory.liveTensors(), "the start and the velocity are all that is kept");
                    assertEquals(1, velocity.isFinite().all().item(), times[0] + " to " + times[1]);
                }
            }
        }
    }

    @Test
    void whatMakesNoSenseIsRefused() {
        Drift none = (time, state, condition) -> state;
        for (double[] times :
                new double[][] {{-0.1, 0.5}, {0.5, 0.5}, {0.6, 0.5}, {0.5, 1.1}, {1, 1}, {Double.NaN, 1}}) {
            assertRefused(() -> new GlassTransition(none, times[0], times[1], 0), "0 <= from < to <= 1");
            assertRefused(() -> GlassTransition.ddpm(times[0], times[1]), "0 <= from < to <= 1");
        }
        for (double rho : new double[] {-1.1, 1.1, Double.NaN}) {
            assertRefused(() -> new GlassTransition(none, 0.2, 0.5, rho), "correlation is " + rho);
        }
    }
}
