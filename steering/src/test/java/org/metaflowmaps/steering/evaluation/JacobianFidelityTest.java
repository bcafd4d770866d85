package org.metaflowmaps.steering.evaluation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.models.sampler.SampleResult;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.ExactMixtureMap;

final class JacobianFidelityTest {
    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static Tensor items(RandomSource random, int count) {
        // Between the components, where posteriors have two modes and covariances vary much.
        return random.normal(count, 1)
                .mul(2)
                .expand(count, 2)
                .add(random.normal(count, 2).mul(0.5));
    }

    @Test
    void theExactMapHasSlopeOne() {
        try (ExactMixtureMap map = new ExactMixtureMap();
                RandomSource random = RandomSource.seeded(2);
                TensorScope scope = TensorScope.open()) {
            NoisedItems items = new NoisedItems(items(random, 24), Condition.none(), 4);
            Tensor directions = Torch.of(new float[] {1, 0, 0.6f, 0.8f, 0.7f, -0.7f}, 3, 2);
            for (double time : new double[] {0.2, 0.5}) {
                JacobianFidelity found =
                        JacobianFidelity.of(new PosteriorSampler(map, 1), items, directions, time, 400);
                assertEquals(24, found.states());
                assertEquals(24 * 9, found.pairs());
                assertEquals(1, found.slope().value(), 4 * found.slope().error());
                assertTrue(found.slope().error() < 0.15, found.toString());
                assertEquals(1, found.corrected().value(), 4 * found.corrected().error() + 0.01);
                assertTrue(found.correlation().value() > 0.9, found.toString());
            }
        }
    }

    /** Draws of the right law with half the derivative: the slope shows it, the correlation does not. */
    @Test
    void aWrongJacobianIsFound() {
        try (ExactMixtureMap map = new ExactMixtureMap();
                RandomSource random = RandomSource.seeded(2);
                TensorScope scope = TensorScope.open()) {
            NoisedItems items = new NoisedItems(items(random, 12), Condition.none(), 4);
            Tensor directions = Torch.of(new float[] {1, 0, 0, 1}, 2, 2);
            PosteriorSampler exact = new PosteriorSampler(map, 1);
            Sampler<Context> wrong = (noise, context, listener) -> {
                Tensor drawn = exact.sample(noise, context, listener).samples();
                return new SampleResult(drawn.add(drawn.detach()).div(2), 1, Duration.ZERO);
            };
            JacobianFidelity half = JacobianFidelity.of(wrong, items, directions, 0.4, 64);
            JacobianFidelity whole = JacobianFidelity.of(exact, items, directions, 0.4, 64);
            assertEquals(whole.slope().value() / 2, half.slope().value(), 1e-6);
            assertEquals(whole.corrected().value(), half.corrected().value(), 1e-6);
        }
    }

    @Test
    void badArgumentsAreRefused() {
        try (ExactMixtureMap map = new ExactMixtureMap();
                TensorScope scope = TensorScope.open()) {
            PosteriorSampler sampler = new PosteriorSampler(map, 1);
            NoisedItems four = new NoisedItems(Torch.zeros(4, 2), Condition.none(), 1);
            NoisedItems three = new NoisedItems(Torch.zeros(3, 2), Condition.none(), 1);
            Tensor directions = Torch.zeros(1, 2);
            refused(() -> JacobianFidelity.of(sampler, four, directions, 0, 4));
            refused(() -> JacobianFidelity.of(sampler, four, directions, 1, 4));
            refused(() -> JacobianFidelity.of(sampler, four, directions, 0.5, 5));
            refused(() -> JacobianFidelity.of(sampler, three, directions, 0.5, 4));
            refused(() -> JacobianFidelity.of(sampler, four, Torch.zeros(1, 3), 0.5, 4));
        }
    }

    private static void refused(Runnable call) {
        assertThrows(IllegalArgumentException.class, call::run);
    }
}
