package org.metaflowmaps.steering;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** {@link ExactMixtureMap} compared with the mixture's formulas. */
final class ExactMixtureMapTest {
    private static final List<double[]> CENTRES =
            List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3});

    private static Tensor draw(ExactMixtureMap map, double time, Tensor state, Tensor noise) {
        Tensor times = Torch.full(time, DType.FLOAT64, Device.CPU, noise.size(0));
        Tensor zeros = Torch.zerosLike(times);
        return map.flowMap(zeros, zeros.add(1), noise, Context.unchecked(times, state, Condition.none()));
    }

    /** Mean and covariance of many draws equal those of the mixture's posterior by other formulas. */
    @Test
    void drawsHaveThePosteriorsMoments() {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                ExactMixtureMap map = new ExactMixtureMap();
                GaussianMixture mixture = GaussianMixture.isotropic(CENTRES, 0.5, Device.CPU);
                RandomSource random = RandomSource.seeded(1)) {
            int count = 40_000;
            for (double time : new double[] {0.01, 0.2, 0.4, 0.8}) {
                Tensor state = Torch.of(new double[] {0.7 * time, 1.2 * time}, 1, 2);
                Tensor drawn = draw(
                        map,
                        time,
                        state.expand(count, 2),
                        random.normal(count, 2).to(DType.FLOAT64));
                Tensor exact = mixture.posterior(
                                random, new Context(Torch.full(time, DType.FLOAT64, Device.CPU, 1), state), count)
                        .squeeze(0);
                Tensor mean = mixture.denoiser(Torch.full(time, DType.FLOAT64, Device.CPU, 1), state);
                double bound = 5 * drawn.var(0).max().item() / Math.sqrt(count);
                assertEquals(0, drawn.mean(0).sub(mean).abs().max().item(), Math.max(bound, 0.02), "t " + time);
                for (int sign : new int[] {-1, 1}) {
                    // The two coordinates' sum and difference have the variances along and across the line.
                    Tensor mine = drawn.select(1, 0).add(drawn.select(1, 1).mul(sign));
                    Tensor other = exact.select(1, 0).add(exact.select(1, 1).mul(sign));
                    double ratio = mine.var(0).item() / other.var(0).item();
                    assertEquals(1, ratio, 0.04, "t " + time + " sign " + sign);
                }
            }
        }
    }

    /** The draw increases with its noise along the line, also in both tails. */
    @Test
    void drawsKeepTheNoisesOrder() {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                ExactMixtureMap map = new ExactMixtureMap()) {
            int count = 2001;
            Tensor steps = Torch.linspace(-5, 5, count).to(DType.FLOAT64);
            Tensor noise = Torch.stack(1, steps, steps);
            for (double time : new double[] {0.01, 0.5, 0.9, 0.996}) {
                Tensor state =
                        Torch.of(new double[] {1.5 * time, 1.4 * time}, 1, 2).expand(count, 2);
                Tensor z = draw(map, time, state, noise).sum(1);
                Tensor rises = z.narrow(0, 1, count - 1).sub(z.narrow(0, 0, count - 1));
                assertTrue(rises.min().item() > 0, "t " + time);
            }
        }
    }

    /** Derivatives in the state equal central differences, also between modes. */
    @Test
    void drawsAreDifferentiable() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap();
                RandomSource random = RandomSource.seeded(2)) {
            int count = 64;
            double step = 1e-6;
            for (double time : new double[] {0.05, 0.4, 0.7, 0.95}) {
                Tensor noise = random.normal(count, 2).to(DType.FLOAT64);
                Tensor state =
                        random.normal(count, 2).to(DType.FLOAT64).mul(1.5).mul(time);
                Tensor direction = Torch.of(new double[] {0.8, -0.3}, 1, 2).expand(count, 2);
                Tensor weights = Torch.of(new double[] {0.4, 1.1}, 1, 2);
                Tensor leaf = state.clone().requiresGrad_(true);
                Tensor gradient = Autograd.gradients(
                                draw(map, time, leaf, noise).mul(weights).sum(), List.of(leaf))
                        .getFirst();
                Tensor slope = gradient.mul(direction).sum(1);
                try (Autograd.Mode off = Autograd.noGrad()) {
                    Tensor up = draw(map, time, state.add(direction.mul(step)), noise);
                    Tensor down = draw(map, time, state.sub(direction.mul(step)), noise);
                    Tensor expected = up.sub(down).mul(weights).sum(1).div(2 * step);
                    Tensor error = slope.sub(expected).abs().div(expected.abs().add(1));
                    assertEquals(0, error.max().item(), 1e-6, "t " + time);
                    assertTrue(expected.abs().max().item() > 0.01, "t " + time);
                }
            }
        }
    }
}
