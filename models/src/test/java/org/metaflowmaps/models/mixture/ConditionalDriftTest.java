package org.metaflowmaps.models.mixture;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Close.farthest;

import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MlpFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The exact conditional drift compared with conditioning in plain Java, and GLASS compared with it (method §3, 13). */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class ConditionalDriftTest {
    private static final int GRID = 50;

    private final GaussianMixture mixture = Mixtures.skewed();
    private final ConditionalDrift exact = mixture.conditionalDrift();
    private final ConditionalDrift glass = new Glass(mixture.drift());

    @AfterAll
    void close() {
        mixture.close();
    }

    /** Returns the mean of the data after two observations, each by its Kalman gain. */
    @Test
    void itIsThatOfTwoObservationsInARow() {
        double[][] points = {{0.1, 0.2}, {0.5, 0.5}, {0.9, 0.3}, {0.2, 0.95}, {0, 0.6}, {0.7, 0}, {0, 0}, {0.9, 0.9}};
        double[] x = {0.4, -0.7};
        double[] own = {-0.6, 0.9};
        try (TensorScope scope = TensorScope.open()) {
            for (double[] point : points) {
                double s = point[0];
                double t = point[1];
                List<Mixtures.Component> both =
                        Mixtures.observed(Mixtures.observed(Mixtures.components(mixture), t, 1 - t, x), s, 1 - s, own);
                double[] mean = Mixtures.moments(both).mean();
                Tensor expected =
                        Torch.of(new double[] {(mean[0] - own[0]) / (1 - s), (mean[1] - own[1]) / (1 - s)}, 1, 2);
                Context context = new Context(Torch.of(new double[] {t}), Torch.of(x, 1, 2));
                assertClose(
                        expected,
                        exact.at(Torch.of(new double[] {s}), Torch.of(own, 1, 2), context),
                        1e-9,
                        "s = " + s + ", t = " + t);
            }
        }
    }

    /** Every pair of 50 times from 0 to 1, both ends included, with states of the joint law or far off it. */
    private record Grid(Tensor start, Tensor state, Context context) {
        static Grid random(GaussianMixture mixture, long seed, boolean onLaw) {
            int count = GRID * GRID;
            float[] inner = new float[count];
            float[] outer = new float[count];
            long[] labels = new long[count];
            for (int i = 0; i < count; i++) {
                inner[i] = Math.floorDiv(i, GRID) / (GRID - 1f);
                outer[i] = (i % GRID) / (GRID - 1f);
                labels[i] = i % (mixture.components() + 1);
            }
            try (RandomSource random = RandomSource.seeded(seed)) {
                Tensor s = Torch.of(inner);
                Tensor t = Torch.of(outer);
                Tensor data = mixture.sample(random, count);
                Tensor x = onLaw
                        ? LinearInterpolant.state(random.normal(count, 2), data, t)
                        : random.normal(count, 2).mul(3);
                Tensor own = onLaw
                        ? LinearInterpolant.state(random.normal(count, 2), data, s)
                        : random.normal(count, 2).mul(3);
                return new Grid(
                        s,
                        own,
                        new Context(t, x, seed % 2 == 0 ? Condition.labelled(Torch.of(labels)) : Condition.none()));
            }
        }
    }

    /** In float32, relative to 1 + |b̄|. At s = t = 1, where there is no limit, it must only be finite. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void glassIsExactOnAGridOfTimes(long seed) {
        for (boolean onLaw : new boolean[] {true, false}) {
            try (TensorScope scope = TensorScope.open()) {
                Grid at = Grid.random(mixture, seed, onLaw);
                double[] actual = glass.at(at.start, at.state, at.context).toDoubleArray();
                double[] expected = exact.at(at.start, at.state, at.context).toDoubleArray();
                double[] wide = exact.at(
                                at.start.to(DType.FLOAT64),
                                at.state.to(DType.FLOAT64),
                                new Context(
                                        at.context.time().to(DType.FLOAT64),
                                        at.context.state().to(DType.FLOAT64),
                                        at.context.condition()))
                        .toDoubleArray();
                double worst = 0;
                for (int i = 0; i < expected.length; i++) {
                    assertTrue(
                            Double.isFinite(actual[i]) && Double.isFinite(expected[i]),
                            "item " + i + ": " + actual[i] + " and " + expected[i]);
                    if (i / 2 == GRID * GRID - 1) {
                        continue;
                    }
                    worst = Math.max(worst, Math.abs(actual[i] - expected[i]) / (1 + Math.abs(expected[i])));
                    assertEquals(
                            wide[i],
                            expected[i],
                            1e-6 * (1 + Math.abs(wide[i])),
                            "float32 is float64 rounded, item " + i);
                }
                assertTrue(worst < 1e-5, "apart by " + worst + (onLaw ? " on the law" : " off the law"));
            }
        }
    }

    /** b̄_s = b_s(x̄) at t = 0 for every x and s, also for s = 0, where a network would differ at another point. */
    @Test
    void anEmptyContextLeavesANetworksOwnVelocity() {
        float[] starts = {0, 1e-12f, 1e-6f, 0.3f, 1};
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(5);
                MlpFlowMap network = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 12, 2, 0))) {
            Tensor start = Torch.of(starts);
            Tensor own = random.normal(starts.length, 2);
            NetworkDrift drift = new NetworkDrift(network);
            for (Context empty : List.of(
                    Context.unconditional(own, Condition.none()), new Context(Torch.zerosLike(start), own.mul(-7)))) {
                assertClose(
                        drift.at(start, own, Condition.none()), new Glass(drift).at(start, own, empty), 1e-6, "t = 0");
            }
        }
    }

    /** Method §9.3 (ii): the tilted law also belongs to an interpolant, so GLASS of its drift gives its posteriors. */
    @Test
    void glassOfATiltedDriftIsTheTiltedLawsOwn() {
        try (GaussianMixture tilted = new LinearGaussianReward(new double[] {0.8, -0.5}, 0.7, 0.6).tilted(mixture);
                TensorScope scope = TensorScope.open()) {
            Grid at = Grid.random(tilted, 5, true);
            // Without the corner s = t = 1.
            int count = GRID * GRID - 1;
            Tensor start = at.start.narrow(0, 0, count);
            Tensor state = at.state.narrow(0, 0, count);
            Context context = at.context.first(count);
            Tensor expected = tilted.conditionalDrift().at(start, state, context);
            assertClose(expected, new Glass(tilted.drift()).at(start, state, context), 1e-5, "tilted");
            assertTrue(farthest(expected, exact.at(start, state, context)) > 0.05, "the tilt is felt");
        }
    }

    @Test
    void limitsAreThoseOfTheMethod() {
        int count = 7;
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(9)) {
            Tensor x = random.normal(count, 2).to(DType.FLOAT64).mul(2);
            Tensor own = random.normal(count, 2).to(DType.FLOAT64).mul(2);
            Tensor inside = random.uniform(count).to(DType.FLOAT64).mul(0.9).add(0.05);
            Tensor zero = Torch.zerosLike(inside);
            Tensor one = Torch.onesLike(inside);
            Tensor drift = mixture.drift().at(inside, own, Condition.none());
            Tensor straight = x.sub(own).div(inside.neg().add(1).unsqueeze(1));
            for (ConditionalDrift way : List.of(exact, glass)) {
                // GLASS passes times on as float32.
                double rounding = way.equals(exact) ? 1e-12 : 1e-6;
                assertClose(drift, way.at(inside, own, new Context(zero, x)), rounding, "t = 0");
                assertClose(
                        mixture.denoiser(inside, x).sub(own),
                        way.at(zero, own, new Context(inside, x)),
                        rounding,
                        "s = 0");
                assertClose(own, way.at(one, own, new Context(inside, x)), rounding, "s = 1");
                assertClose(straight, way.at(inside, own, new Context(one, x)), rounding, "t = 1");
                assertClose(
                        Torch.of(mixture.mean(), 1, 2).sub(own),
                        way.at(zero, own, new Context(zero, x)),
                        rounding,
                        "s = t = 0");
                assertEquals(
                        1,
                        way.at(one, own, new Context(one, x)).isFinite().all().item(),
                        "s = t = 1");
            }
        }
    }
}
