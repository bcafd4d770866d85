package org.metaflowmaps.steering.evaluation;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.sampler.GlassSampler;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.ExactMixtureMap;
import org.metaflowmaps.steering.particle.Rollout;
import org.metaflowmaps.steering.particle.Transition;
import org.metaflowmaps.steering.reward.LinearReward;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.Coefficient;

final class ValueEvaluationTest {
    private static final double[] DIRECTION = {0.5, 0.2};
    private static final double VARIANCE = 0.5;
    private static final int STATES = 24;
    private static final int DRAWS = 256;

    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** log E[exp(a·I_1) | I_t = x] of the mixture of {@link ExactMixtureMap}, by its components' moments. */
    private static double exact(double time, double[] state) {
        double seen = (1 - time) * (1 - time) + time * time * VARIANCE;
        double gain = time * VARIANCE / seen;
        double spread = VARIANCE * (1 - time) * (1 - time) / seen;
        double norm = DIRECTION[0] * DIRECTION[0] + DIRECTION[1] * DIRECTION[1];
        double evidence = 0;
        double tilted = 0;
        for (double mean : ExactMixtureMap.means()) {
            double first = state[0] - time * mean;
            double second = state[1] - time * mean;
            double weight = Math.exp(-0.5 * (first * first + second * second) / seen);
            double value = DIRECTION[0] * (mean + gain * first) + DIRECTION[1] * (mean + gain * second);
            evidence += weight;
            tilted += weight * Math.exp(value + 0.5 * norm * spread);
        }
        return Math.log(tilted / evidence);
    }

    private static double[] exact(NoisedItems items, double time) {
        try (TensorScope scope = TensorScope.open()) {
            double[] states =
                    items.at(time, 0, items.count()).state().to(DType.FLOAT64).toDoubleArray();
            double[] values = new double[items.count()];
            for (int i = 0; i < values.length; i++) {
                values[i] = exact(time, new double[] {states[2 * i], states[2 * i + 1]});
            }
            return values;
        }
    }

    @Test
    void rolloutsAndExactDrawsAgreeWithTheExactValue() {
        try (GaussianMixture mixture = GaussianMixture.isotropic(
                        List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3}),
                        VARIANCE,
                        Device.CPU);
                ExactMixtureMap map = new ExactMixtureMap();
                Reward reward = LinearReward.ofStates(DIRECTION, Device.CPU);
                RandomSource random = RandomSource.seeded(3, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            NoisedItems items = new NoisedItems(mixture.sample(random, STATES), Condition.none(), 5);
            ValueEvaluation evaluation = new ValueEvaluation(items, new Tilt(reward, 1));
            for (double time : new double[] {0.2, 0.5}) {
                double[] exact = exact(items, time);
                Values paths = evaluation.rollouts(mixture.drift(), time, DRAWS, 100);
                Values draws = evaluation.draws(new PosteriorSampler(map, 1), time, DRAWS);
                Values glass = evaluation.draws(new GlassSampler(mixture.conditionalDrift(), 64), time, DRAWS);
                Values point = evaluation.draws(new GlassSampler(new Glass(mixture.drift()), 1), time, DRAWS);
                assertEquals(
                        List.of(100L, 1L, 1L), List.of(paths.evaluations(), draws.evaluations(), point.evaluations()));
                for (Values values : List.of(paths, draws, glass)) {
                    ValueAgreement found = ValueAgreement.of(exact, values.all());
                    assertEquals(STATES, found.states());
                    // Steps of a path leave an error of about 0.02 at this number.
                    assertEquals(values.chance(), found.error().value(), 0.5 * values.chance() + 0.02);
                    assertEquals(0, found.bias().value(), 4 * found.bias().error() + 0.02);
                    assertTrue(found.correlation().value() > 0.99, found.toString());
                }
                // One Euler step of GLASS gives the posterior mean, whose value is too low.
                ValueAgreement low = ValueAgreement.of(exact, point.all());
                assertTrue(low.bias().value() < -4 * low.bias().error(), low.toString());
            }
        }
    }

    @Test
    void anItemsValueDoesNotDependOnTheOthers() {
        try (ExactMixtureMap map = new ExactMixtureMap();
                Reward reward = LinearReward.ofStates(DIRECTION, Device.CPU);
                RandomSource random = RandomSource.seeded(1, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            // 100 draws: two states at once, and the last one alone.
            NoisedItems five = new NoisedItems(random.normal(5, 2), Condition.none(), 9);
            NoisedItems two = new NoisedItems(five.clean().narrow(0, 0, 2), Condition.none(), 9);
            Values all = new ValueEvaluation(five, new Tilt(reward, 1)).draws(new PosteriorSampler(map, 1), 0.3, 100);
            Values some = new ValueEvaluation(two, new Tilt(reward, 1)).draws(new PosteriorSampler(map, 1), 0.3, 100);
            assertArrayEquals(some.first(), Arrays.copyOf(all.first(), 2), 1e-6);
            assertArrayEquals(some.second(), Arrays.copyOf(all.second(), 2), 1e-6);
        }
    }

    /** Errors of a mean and a correlation by their formulas. */
    @Test
    void standardErrorsAreThoseOfTextbooks() {
        double[] numbers = {1, 4, 2, 8, 5, 7};
        double[] truth = new double[6];
        Estimated bias =
                ValueAgreement.of(new double[] {0, 0, 0, 0, 0, 1e-9}, numbers).bias();
        assertEquals(4.5, bias.value(), 1e-8);
        // Sample variance 7.5 of six numbers.
        assertEquals(Math.sqrt(7.5 / 6), bias.error(), 1e-8);
        for (int i = 0; i < truth.length; i++) {
            truth[i] = 3 - 2 * numbers[i];
        }
        ValueAgreement opposite = ValueAgreement.of(truth, numbers);
        assertEquals(-1, opposite.correlation().value(), 1e-12);
        assertEquals(0, opposite.correlation().error(), 1e-12);
        Values halves = new Values(new double[] {0, Math.log(3)}, new double[] {0, 0}, 1);
        assertArrayEquals(new double[] {0, Math.log(2)}, halves.all(), 1e-12);
        assertEquals(Math.log(3) / 2 / Math.sqrt(2), halves.chance(), 1e-12);
    }

    @Test
    void badArgumentsAreRefused() {
        try (ExactMixtureMap map = new ExactMixtureMap();
                Reward reward = LinearReward.ofStates(DIRECTION, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            NoisedItems items = new NoisedItems(Torch.zeros(2, 2), Condition.none(), 1);
            ValueEvaluation evaluation = new ValueEvaluation(items, new Tilt(reward, 1));
            PosteriorSampler sampler = new PosteriorSampler(map, 1);
            for (double time : new double[] {-0.1, 1, Double.NaN}) {
                assertThrows(IllegalArgumentException.class, () -> evaluation.draws(sampler, time, 4));
                assertThrows(
                        IllegalArgumentException.class, () -> evaluation.rollouts((t, x, c) -> x.clone(), time, 4, 4));
            }
            for (int draws : new int[] {0, 3}) {
                assertThrows(IllegalArgumentException.class, () -> evaluation.draws(sampler, 0.5, draws));
            }
            assertThrows(IllegalArgumentException.class, () -> new NoisedItems(Torch.zeros(2), Condition.none(), 1));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> new Values(new double[] {Double.NEGATIVE_INFINITY}, new double[1], 1));
            assertThrows(IllegalArgumentException.class, () -> ValueAgreement.of(new double[3], new double[3]));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> new Rollout(new Transition.Guided(Coefficient.PAPER), TimeGrid.linspace(0.1, 4)));
        }
    }
}
