package org.metaflowmaps.models.mixture;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The exact mixture compared with the conversions of method §1, derivatives, plain Java and its own draws. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class GaussianMixtureTest {
    private static final int ITEMS = 200;

    private final GaussianMixture mixture = Mixtures.skewed();

    @AfterAll
    void close() {
        mixture.close();
    }

    private static Tensor times(double... values) {
        return Torch.of(values);
    }

    private static Tensor column(Tensor time) {
        return time.unsqueeze(1);
    }

    /** Times inside (0, 1) and states of the path, some moved away from it; float64. */
    private Context random(long seed) {
        try (RandomSource random = RandomSource.seeded(seed)) {
            Tensor time = random.uniform(ITEMS).to(DType.FLOAT64).mul(0.98).add(0.01);
            Tensor data = mixture.sample(random, ITEMS).to(DType.FLOAT64);
            Tensor state = LinearInterpolant.state(random.normal(ITEMS, 2).to(DType.FLOAT64), data, time);
            Tensor off = Torch.of(new double[] {1, 0}).repeat(ITEMS / 2).unsqueeze(1);
            return new Context(time, state.add(off.mul(random.normal(ITEMS, 2).to(DType.FLOAT64))));
        }
    }

    private static Tensor score(GaussianMixture law, Context at) {
        Tensor state = at.state().clone().requiresGrad_(true);
        return Autograd.gradients(law.logDensity(at.time(), state).sum(), List.of(state))
                .getFirst();
    }

    @Test
    void driftDenoiserAndScoreFollowFromEachOther() {
        try (TensorScope scope = TensorScope.open()) {
            Context at = random(1);
            Tensor t = column(at.time());
            Tensor rest = t.neg().add(1);
            Tensor x = at.state();
            Tensor b = mixture.drift().at(at.time(), x, Condition.none());
            Tensor denoised = mixture.denoiser(at.time(), x);
            Tensor score = score(mixture, at);
            assertClose(denoised, x.add(rest.mul(b)), 1e-10, "D from b");
            assertClose(rest.mul(b), denoised.sub(x), 1e-10, "b from D");
            assertClose(rest.mul(score), t.mul(b).sub(x), 1e-10, "score from b");
            assertClose(rest.square().mul(score), t.mul(denoised).sub(x), 1e-10, "score from D");
            assertClose(t.mul(b), x.add(rest.mul(score)), 1e-10, "b from score");
        }
    }

    @Test
    void bothEndsAreTheirLimits() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2)) {
            Tensor x = random.normal(5, 2).mul(3).to(DType.FLOAT64);
            Tensor mean = Torch.of(mixture.mean(), 1, 2);
            Tensor start = Torch.zeros(DType.FLOAT64, Device.CPU, 5);
            Tensor end = Torch.onesLike(start);
            assertClose(mean.sub(x), mixture.drift().at(start, x, Condition.none()), 1e-12, "b at 0");
            assertClose(mean.expand(5, 2), mixture.denoiser(start, x), 1e-12, "D at 0");
            assertClose(x, mixture.drift().at(end, x, Condition.none()), 1e-12, "b at 1");
            assertClose(x, mixture.denoiser(end, x), 1e-12, "D at 1");
            Tensor normal = x.square().sum(1).mul(-0.5).sub(Math.log(2 * Math.PI));
            assertClose(normal, mixture.logDensity(start, x), 1e-12, "density at 0");
            double[] expected = new double[5];
            for (int i = 0; i < 5; i++) {
                expected[i] = Math.log(Mixtures.density(
                        mixture, new double[] {x.toDoubleArray()[2 * i], x.toDoubleArray()[2 * i + 1]}));
            }
            assertClose(Torch.of(expected), mixture.logDensity(end, x), 1e-10, "density at 1");
        }
    }

    /** The path's density obeys ∂_t log p = -∇·b - b·∇log p. */
    @Test
    void theDriftMovesTheDensity() {
        try (TensorScope scope = TensorScope.open()) {
            Context at = random(3);
            Tensor time = at.time().clone().requiresGrad_(true);
            Tensor state = at.state().clone().requiresGrad_(true);
            Tensor score = score(mixture, at);
            Tensor rate = Autograd.gradients(
                            mixture.logDensity(time, at.state()).sum(), List.of(time))
                    .getFirst();
            Tensor b = mixture.drift().at(at.time(), state, Condition.none());
            Tensor divergence = Torch.zerosLike(at.time());
            for (int i = 0; i < 2; i++) {
                divergence = divergence.add(Autograd.gradientsWithGraph(
                                b.select(1, i).sum(),
                                List.of(state),
                                Torch.scalar(1).to(DType.FLOAT64))
                        .getFirst()
                        .select(1, i));
            }
            assertClose(divergence.add(b.mul(score).sum(1)).neg(), rate, 1e-9, "continuity");
        }
    }

    @Test
    void aLabelIsItsComponentAlone() {
        try (TensorScope scope = TensorScope.open();
                GaussianMixture second = Mixtures.component(mixture, 1)) {
            Context at = random(4);
            Tensor labels = Torch.full(1, DType.INT64, Device.CPU, ITEMS);
            Tensor none = Torch.full(mixture.components(), DType.INT64, Device.CPU, ITEMS);
            assertClose(
                    second.drift().at(at.time(), at.state(), Condition.none()),
                    mixture.drift().at(at.time(), at.state(), Condition.labelled(labels)),
                    1e-10,
                    "drift");
            assertClose(
                    mixture.drift().at(at.time(), at.state(), Condition.none()),
                    mixture.drift().at(at.time(), at.state(), Condition.labelled(none)),
                    0,
                    "no label");
        }
    }

    @Test
    void float32IsFloat64Rounded() {
        try (TensorScope scope = TensorScope.open()) {
            Context at = random(5);
            Tensor time = at.time().to(DType.FLOAT32);
            Tensor state = at.state().to(DType.FLOAT32);
            Tensor exact = mixture.drift().at(time.to(DType.FLOAT64), state.to(DType.FLOAT64), Condition.none());
            Tensor single = mixture.drift().at(time, state, Condition.none());
            assertEquals(DType.FLOAT32, single.dtype());
            assertClose(exact, single.to(DType.FLOAT64), 1e-6, "drift");
        }
    }

    /** Draws have the weights, means and covariances of a posterior computed in plain Java. */
    @ParameterizedTest
    @ValueSource(doubles = {0, 0.4, 0.8})
    void posteriorDrawsHaveTheMomentsOfThePosterior(double time) {
        int draws = 40_000;
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(6)) {
            double[] x = {0.3, -0.2, 1.1, 0.4};
            Context context = new Context(times(time, time), Torch.of(x, 2, 2));
            Tensor drawn = mixture.posterior(random, context, draws);
            assertEquals(Shape.of(2, draws, 2), drawn.shape());
            for (int i = 0; i < 2; i++) {
                Mixtures.Moments expected = Mixtures.posterior(mixture, time, new double[] {x[2 * i], x[2 * i + 1]});
                double[] values = drawn.select(0, i).toDoubleArray();
                Mixtures.Moments actual = Mixtures.moments(values);
                for (int a = 0; a < 2; a++) {
                    double deviation = Math.sqrt(expected.covariance()[a][a]);
                    assertEquals(expected.mean()[a], actual.mean()[a], 5 * deviation / Math.sqrt(draws), "mean");
                    for (int b = 0; b < 2; b++) {
                        double size = Math.sqrt(expected.covariance()[a][a] * expected.covariance()[b][b]);
                        assertEquals(
                                expected.covariance()[a][b],
                                actual.covariance()[a][b],
                                5 * 2 * size / Math.sqrt(draws),
                                "covariance");
                    }
                }
                Tensor mean = mixture.denoiser(times(time), Torch.of(new double[] {x[2 * i], x[2 * i + 1]}, 1, 2));
                assertClose(Torch.of(expected.mean(), 1, 2), mean, 1e-10, "denoiser");
            }
        }
    }

    @Test
    void atTheEndThePosteriorIsThePoint() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(7)) {
            Tensor x = random.normal(3, 2);
            Tensor drawn = mixture.posterior(random, new Context(Torch.onesLike(Torch.zeros(3)), x), 4);
            assertEquals(DType.FLOAT32, drawn.dtype());
            assertClose(x.unsqueeze(1).expand(3, 4, 2), drawn, 1e-6, "draws");
        }
    }

    @Test
    void drawsOfALabelAreItsComponents() {
        int draws = 20_000;
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(8)) {
            Context prior =
                    new Context(Torch.zeros(3), Torch.zeros(3, 2), Condition.labelled(Torch.of(new long[] {0, 1, 2})));
            Tensor drawn = mixture.posterior(random, prior, draws);
            for (int k = 0; k < 3; k++) {
                Mixtures.Moments actual = Mixtures.moments(drawn.select(0, k).toDoubleArray());
                for (int i = 0; i < 2; i++) {
                    double variance = mixture.covariance(k)[i][i];
                    assertEquals(mixture.mean(k)[i], actual.mean()[i], 5 * Math.sqrt(variance / draws), "mean");
                    assertEquals(1, actual.covariance()[i][i] / variance, 5 * Math.sqrt(2.0 / draws), "variance");
                }
            }
        }
    }

    @Test
    void nothingIsLeftBehindAndBadInputIsRefused() {
        long live = NativeMemory.liveTensors();
        try (GaussianMixture own = Mixtures.skewed();
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(9)) {
            int before = scope.size();
            own.posterior(random, new Context(Torch.zeros(2), Torch.zeros(2, 2)), 3);
            own.conditionalDrift()
                    .at(Torch.zeros(2), Torch.zeros(2, 2), new Context(Torch.zeros(2), Torch.zeros(2, 2)));
            assertTrue(scope.size() - before <= 10, "only arguments and results stay: " + (scope.size() - before));
            assertRefused(() -> own.denoiser(Torch.zeros(2), Torch.zeros(2, 3)), "state is", "(B, 2)");
            assertRefused(() -> own.denoiser(Torch.zeros(3), Torch.zeros(2, 2)), "time is", "(2)");
            assertRefused(
                    () -> own.drift()
                            .at(Torch.zeros(1), Torch.zeros(1, 2), Condition.labelled(Torch.of(new long[] {4}))),
                    "labels from 4",
                    "0 to 2, and 3");
            assertRefused(
                    () -> own.drift()
                            .at(Torch.zeros(1), Torch.zeros(1, 2), Condition.labelled(Torch.of(new long[] {0, 1}))),
                    "labels are");
            assertRefused(() -> own.sample(random, 0), "0 posterior draws");
        }
        List<double[]> one = List.of(new double[] {0, 0});
        double[][] unit = {{1, 0}, {0, 1}};
        assertRefused(() -> new GaussianMixture(List.of(), List.of(), List.of(), Device.CPU), "at least one component");
        assertRefused(
                () -> new GaussianMixture(List.of(0.0), one, List.<double[][]>of(unit), Device.CPU), "weight 0.0");
        assertRefused(() -> new GaussianMixture(List.of(1.0), one, List.of(), Device.CPU), "0 covariances");
        assertRefused(
                () -> new GaussianMixture(List.of(1.0), one, List.<double[][]>of(new double[][] {{1, 0}}), Device.CPU),
                "square matrix of 2 rows");
        assertRefused(
                () -> new GaussianMixture(
                        List.of(1.0), one, List.<double[][]>of(new double[][] {{1, 0.5}, {0, 1}}), Device.CPU),
                "not symmetric");
        assertRefused(
                () -> new GaussianMixture(
                        List.of(1.0), one, List.<double[][]>of(new double[][] {{1, 2}, {2, 1}}), Device.CPU),
                "eigenvalue");
        assertRefused(
                () -> new GaussianMixture(
                        List.of(1.0, 1.0), List.of(new double[2], new double[3]), List.of(unit, unit), Device.CPU),
                "mean 1 has 3");
        assertRefused(
                () -> new GaussianMixture(
                        List.of(1.0), List.of(new double[] {0, Double.NaN}), List.<double[][]>of(unit), Device.CPU),
                "NaN");
        assertEquals(live, NativeMemory.liveTensors());
    }
}
