package org.metaflowmaps.models.mixture;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The value function compared with Monte Carlo, the tilted law and its derivatives (method §6). */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class LinearGaussianRewardTest {
    private static final int ITEMS = 50;

    private final GaussianMixture mixture = Mixtures.skewed();
    private final LinearGaussianReward reward = new LinearGaussianReward(new double[] {0.8, -0.5}, 0.7, 0.6);
    private final GaussianMixture tilted = reward.tilted(mixture);

    @AfterAll
    void close() {
        mixture.close();
        tilted.close();
    }

    private static Context random(double least, double most) {
        try (RandomSource random = RandomSource.seeded(1)) {
            Tensor time =
                    random.uniform(ITEMS).to(DType.FLOAT64).mul(most - least).add(least);
            return new Context(time, random.normal(ITEMS, 2).to(DType.FLOAT64).mul(2));
        }
    }

    /** The paper's setting: weights given to three digits; the mean is (-1.741, -1.385), elsewhere truncated to two. */
    @Test
    void thePapersTiltedLaw() {
        long live = NativeMemory.liveTensors();
        try (GaussianMixture prior = Mixtures.paper();
                GaussianMixture posterior = new LinearGaussianReward(new double[] {1.2, -0.8}, -1, 0.2).tilted(prior)) {
            assertArrayEquals(new double[] {0.572, 0.366, 0.062}, posterior.weights(), 5e-4);
            assertArrayEquals(new double[] {-1.74, -1.38}, posterior.mean(), 6e-3);
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void theValueIsTheMeanOverPosteriorDraws() {
        int draws = 40_000;
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2)) {
            Context at = random(0, 0.95);
            Tensor gains = reward.at(mixture.posterior(random, at, draws)).exp();
            Tensor mean = gains.mean(1);
            Tensor error = gains.var(1).div(draws).sqrt().div(mean);
            Tensor apart =
                    reward.value(mixture, at.time(), at.state()).sub(mean.log()).abs();
            // If a few rare draws dominate, the mean is far from normal and its error unknown.
            Tensor known = error.lt(0.01);
            assertTrue(known.to(DType.FLOAT64).mean().item() > 0.5, "most means are known to one per cent");
            double worst =
                    apart.div(error).maskedFill(known.logicalNot(), 0).max().item();
            assertTrue(worst < 5, "V against log-mean-exp: " + worst + " standard errors");
        }
    }

    @Test
    void theTiltedLawsPathIsTheLawsTimesTheValue() {
        try (TensorScope scope = TensorScope.open()) {
            Context at = random(0, 1);
            Tensor zero = Torch.zeros(DType.FLOAT64, mixture.device(), 1);
            Tensor normaliser = reward.value(mixture, zero, Torch.zeros(DType.FLOAT64, mixture.device(), 1, 2));
            Tensor expected = mixture.logDensity(at.time(), at.state())
                    .add(reward.value(mixture, at.time(), at.state()))
                    .sub(normaliser);
            assertClose(expected, tilted.logDensity(at.time(), at.state()), 1e-10, "log p*");
            Tensor end = Torch.onesLike(at.time());
            assertClose(reward.at(at.state()), reward.value(mixture, end, at.state()), 1e-10, "V at 1 is r");
        }
    }

    @Test
    void theGradientIsThatOfTheValue() {
        try (TensorScope scope = TensorScope.open()) {
            for (Context at : List.of(random(0, 1), random(0, 0), random(1, 1))) {
                Tensor state = at.state().clone().requiresGrad_(true);
                Tensor expected = Autograd.gradients(
                                reward.value(mixture, at.time(), state).sum(), List.of(state))
                        .getFirst();
                assertClose(expected, reward.valueGradient(mixture, at.time(), at.state()), 1e-10, "∇V");
            }
        }
    }

    /** b* - b = (σ²/2)·∇V = (D* - D) / (1-t), where σ²/2 = (1-t)/t. */
    @Test
    void theTiltedDriftIsTheDriftAndTheValuesGradient() {
        try (TensorScope scope = TensorScope.open()) {
            Context at = random(0.01, 0.99);
            Tensor t = at.time().unsqueeze(1);
            Tensor rest = t.neg().add(1);
            Tensor correction = tilted.drift()
                    .at(at.time(), at.state(), Condition.none())
                    .sub(mixture.drift().at(at.time(), at.state(), Condition.none()));
            assertClose(
                    correction,
                    rest.div(t).mul(reward.valueGradient(mixture, at.time(), at.state())),
                    1e-9,
                    "(1-t)/t ∇V");
            Tensor change = tilted.denoiser(at.time(), at.state()).sub(mixture.denoiser(at.time(), at.state()));
            assertClose(rest.mul(correction), change, 1e-10, "D* - D");
        }
    }

    @Test
    void whatDoesNotFitIsRefused() {
        assertRefused(() -> new LinearGaussianReward(new double[0], 0, 1), "no coordinates");
        assertRefused(() -> new LinearGaussianReward(new double[2], 0, 0), "deviation is 0");
        LinearGaussianReward wide = new LinearGaussianReward(new double[3], 0, 1);
        assertRefused(() -> wide.tilted(mixture), "3 coordinates", "the mixture 2");
    }
}
