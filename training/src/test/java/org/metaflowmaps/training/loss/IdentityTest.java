package org.metaflowmaps.training.loss;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.models.mixture.Mixtures;
import org.metaflowmaps.models.mixture.QuantileFlow;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.loss.Lagrangian.Through;
import org.opentest4j.AssertionFailedError;

/** Every loss has gradient zero at the exact map of a one-dimensional posterior (method §4.3). */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class IdentityTest {
    private static final int ITEMS = 4096;

    /** Allowed error of an average in standard errors; exceeded by chance in one of 15,000 cases. */
    private static final double SIGMAS = 4;

    private final GaussianMixture mixture = Mixtures.line();
    private final QuantileFlow map = new QuantileFlow(mixture);
    private final Velocity.Field exact = new Velocity.Taught(mixture.conditionalDrift());
    private final Velocity.Field glass = new Velocity.Taught(new Glass(mixture.drift()));

    @AfterAll
    void close() {
        map.close();
        mixture.close();
    }

    /** Pairs as in training: context and path share their data. */
    private Pair pair(long seed) {
        try (RandomSource random = RandomSource.seeded(seed)) {
            Tensor data = mixture.sample(random, ITEMS);
            Tensor time = random.uniform(ITEMS).mul(0.9);
            Context context = new Context(time, LinearInterpolant.state(random.normal(ITEMS, 1), data, time));
            Tensor one = random.uniform(ITEMS);
            Tensor other = random.uniform(ITEMS);
            return new Pair(
                    one.minimum(other),
                    one.maximum(other),
                    random.uniform(ITEMS),
                    random.normal(ITEMS, 1),
                    data,
                    context);
        }
    }

    Stream<Map.Entry<String, Consistency>> identities() {
        Velocity.Own own = new Velocity.Own();
        return Stream.of(
                Map.entry("semigroup", new Semigroup(null)),
                Map.entry("semigroup by an average", new Semigroup(map)),
                Map.entry("psd", new Progressive(null)),
                Map.entry("shortcut", new Shortcut(null, 0)),
                Map.entry("eulerian", new Eulerian(own)),
                Map.entry("eulerian, exact teacher", new Eulerian(exact)),
                Map.entry("eulerian, GLASS teacher", new Eulerian(glass)),
                Map.entry("improved mean flow, taught", new ImprovedMeanFlow(glass)),
                Map.entry("lagrangian", new Lagrangian(own, Through.DERIVATIVE)),
                Map.entry("lagrangian, stopped", new Lagrangian(own, Through.AVERAGE)),
                Map.entry("lagrangian, released", new Lagrangian(own, Through.VELOCITY)),
                Map.entry("lagrangian, GLASS teacher", new Lagrangian(glass, Through.DERIVATIVE)),
                Map.entry("lagrangian, stopped, GLASS teacher", new Lagrangian(glass, Through.AVERAGE)),
                Map.entry("terminal velocity", new TerminalVelocity(map)),
                // Its identity holds only in the limit α → 0.
                Map.entry("alpha-flow 1/400", Example.alphaFlow(glass, 0.0025)),
                Map.entry("alpha-flow 0", Example.alphaFlow(glass, 0)));
    }

    @ParameterizedTest
    @MethodSource("identities")
    void theLossVanishesAtTheExactMap(Map.Entry<String, Consistency> identity) {
        try (TensorScope scope = TensorScope.open()) {
            Pair pair = pair(1);
            double loss = new Weighting.L2()
                    .apply(identity.getValue().of(map, pair), pair)
                    .loss()
                    .item();
            assertTrue(loss <= 1e-5, identity.getKey() + ": " + loss);
        }
    }

    /** The test can fail: each loss is large for a map that is not exact. */
    @ParameterizedTest
    @MethodSource("identities")
    void theLossTellsAWrongMap(Map.Entry<String, Consistency> identity) {
        try (TensorScope scope = TensorScope.open();
                QuantileFlow wrong = new QuantileFlow(mixture)) {
            try (Autograd.Mode off = Autograd.noGrad()) {
                wrong.parameters().get("offset").fill_(0.5);
            }
            // An offset of v is not a flow's average velocity, for any velocity that the losses use.
            Pair pair = pair(2);
            double loss = new Weighting.L2()
                    .apply(identity.getValue().of(wrong, pair), pair)
                    .loss()
                    .item();
            assertTrue(loss > 3e-4, identity.getKey() + ": " + loss);
        }
    }

    @Test
    void theDiagonalVanishesForATeacher() {
        try (TensorScope scope = TensorScope.open()) {
            Pair pair = pair(3);
            assertTrue(new Weighting.L2()
                            .apply(Diagonal.of(map, pair, glass), pair)
                            .loss()
                            .item()
                    <= 1e-5);
        }
    }

    Stream<Map.Entry<String, Consistency>> noisy() {
        return Stream.of(
                Map.entry("mean flow", new Eulerian(new Velocity.Data())),
                Map.entry("improved mean flow", new ImprovedMeanFlow(new Velocity.Data())));
    }

    /**
     * Data targets are correct only on average given the map's inputs, so no function of the inputs correlates with the
     * residual.
     */
    @ParameterizedTest
    @MethodSource("noisy")
    void dataTargetsLeaveNothingOnAverage(Map.Entry<String, Consistency> loss) {
        try (TensorScope scope = TensorScope.open()) {
            Pair pair = pair(4);
            uncorrelated(loss.getValue().of(map, pair), pair, loss.getKey());
        }
    }

    @Test
    void theDiagonalsDataTargetLeavesNothingOnAverage() {
        try (TensorScope scope = TensorScope.open()) {
            Pair pair = pair(5);
            uncorrelated(Diagonal.of(map, pair, new Velocity.Data()), pair, "diagonal");
        }
    }

    /**
     * With weights e^r the data follow the tilted law: the loss's gradient is zero at its exact map, but not at the
     * untilted map.
     */
    @Test
    void weightedDataAreThoseOfTheTiltedLaw() {
        LinearGaussianReward reward = new LinearGaussianReward(new double[] {0.7}, 1.5, 1.1);
        try (TensorScope scope = TensorScope.open();
                GaussianMixture tilted = reward.tilted(mixture);
                QuantileFlow exactly = new QuantileFlow(tilted)) {
            Pair plain = pair(6);
            Pair weighted = new Pair(
                    plain.start(),
                    plain.end(),
                    plain.fraction(),
                    plain.noise(),
                    plain.data(),
                    plain.context(),
                    reward.at(plain.data()).exp());
            uncorrelated(exactly, Diagonal.of(exactly, weighted, new Velocity.Data()), weighted, "weighted diagonal");
            uncorrelated(
                    exactly, new Eulerian(new Velocity.Data()).of(exactly, weighted), weighted, "weighted mean flow");
            assertThrows(
                    AssertionFailedError.class,
                    () -> uncorrelated(map, Diagonal.of(map, weighted, new Velocity.Data()), weighted, "untilted map"));
        }
    }

    private void uncorrelated(Regression regression, Pair pair, String what) {
        uncorrelated(map, regression, pair, what);
    }

    private static void uncorrelated(QuantileFlow map, Regression regression, Pair pair, String what) {
        Tensor left = regression.prediction().detach().sub(regression.target()).reshape(ITEMS);
        left = pair.weights() == null ? left : left.mul(pair.weights());
        assertTrue(left.square().mean().item() > 0.01, what + ": the target has no noise, so this shows nothing");
        Tensor state = pair.state().reshape(ITEMS);
        Tensor seen = pair.context().state().reshape(ITEMS);
        for (Tensor feature : List.of(
                state.mul(0).add(1),
                state,
                seen,
                pair.start(),
                pair.end(),
                pair.context().time(),
                state.sin(),
                state.mul(seen))) {
            double[] products = left.mul(feature).toDoubleArray();
            double mean = 0;
            double square = 0;
            for (double product : products) {
                mean += product / ITEMS;
                square += product * product / ITEMS;
            }
            assertEquals(0, mean, SIGMAS * Math.sqrt(square / ITEMS), what);
        }
        map.parameters().gradients().zero_();
        Autograd.backward(new Weighting.L2().apply(regression, pair).loss());
        double gradient =
                map.parameters().view("offset", map.parameters().gradients()).item();
        assertEquals(2 * left.mean().item(), gradient, 1e-3);
    }
}
