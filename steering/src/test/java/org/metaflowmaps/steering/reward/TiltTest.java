package org.metaflowmaps.steering.reward;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Scores and gradients that are computed a few items at a time. */
final class TiltTest {
    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** The mean of log x, which is negative infinity at 0 and counts the items of each call. */
    private record Logarithm(List<Long> calls) implements Reward {
        @Override
        public String name() {
            return "logarithm";
        }

        @Override
        public Tensor score(Tensor samples, Condition condition) {
            calls.add(samples.size(0));
            return samples.log().reshape(samples.size(0), -1).mean(1);
        }

        @Override
        public boolean takesStates() {
            return true;
        }
    }

    @Test
    void partsHaveTheScoresAndGradientsOfAll() {
        List<Long> calls = new ArrayList<>();
        Tilt whole = new Tilt(new Logarithm(new ArrayList<>()), 2);
        Tilt parts = new Tilt(new Logarithm(calls), Decoder.IDENTITY, 2, 2);
        try (TensorScope scope = TensorScope.open()) {
            double[] values = {1, 2, 3, 0, 0.5, 7, 2, 2, 1, 4};
            Tensor states = Torch.of(values, 5, 2).requiresGrad_(true);
            Tensor factors = Torch.of(new double[] {1, -2, 3, 4, 5});
            double[][] scores = new double[2][];
            Tensor[] gradients = new Tensor[2];
            for (int i = 0; i < 2; i++) {
                Tensor found = (i == 0 ? whole : parts).at(states, Condition.none());
                scores[i] = found.toDoubleArray();
                assertTrue(found.requiresGrad());
                // The second item scores negative infinity, and its gradient has no meaning.
                Tensor finite = found.maskedFill(found.detach().eq(Double.NEGATIVE_INFINITY), 0);
                gradients[i] = Autograd.gradients(finite.mul(factors).sum(), List.of(states))
                        .getFirst();
            }
            assertEquals(List.of(2L, 2L, 1L), calls);
            assertArrayEquals(scores[0], scores[1], 1e-15);
            assertEquals(Double.NEGATIVE_INFINITY, scores[1][1]);
            for (int item : new int[] {0, 2, 3, 4}) {
                assertClose(
                        gradients[0].select(0, item), gradients[1].select(0, item), 1e-12, "gradient of item " + item);
            }
            assertArrayEquals(new double[2], gradients[1].select(0, 1).toDoubleArray());
        }
    }

    /** Four times as many at once, and no graph. */
    @Test
    void withoutGradientsPartsAreLarger() {
        List<Long> calls = new ArrayList<>();
        Tilt parts = new Tilt(new Logarithm(calls), Decoder.IDENTITY, 1, 2);
        try (TensorScope scope = TensorScope.open()) {
            Tensor states = Torch.of(new double[40], 20, 2).add(1);
            assertFalse(parts.score(states, Condition.none()).requiresGrad());
            assertEquals(List.of(8L, 8L, 4L), calls);
            calls.clear();
            Tensor leaf = states.requiresGrad_(true);
            try (Autograd.Mode off = Autograd.noGrad()) {
                assertFalse(parts.score(leaf, Condition.none()).requiresGrad());
            }
            assertEquals(List.of(8L, 8L, 4L), calls);
        }
        assertEquals(
                2,
                new Tilt(new Logarithm(calls), Decoder.IDENTITY, 1, 2)
                        .withStrength(3)
                        .atOnce());
        assertRefused(() -> new Tilt(new Logarithm(calls), Decoder.IDENTITY, 1, -1), "-1 states at once");
    }

    /** A product, which autocast rounds to bfloat16. */
    private record Product(Tensor weights) implements Reward {
        @Override
        public String name() {
            return "product";
        }

        @Override
        public Tensor score(Tensor samples, Condition condition) {
            return samples.matmul(weights).to(samples.dtype()).reshape(-1);
        }

        @Override
        public boolean takesStates() {
            return true;
        }
    }

    @Test
    void exactScoresAreNotRoundedUnderAutocast() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor states = Torch.of(new float[] {1.001f, 0.3f, -2.007f, 5}, 2, 2);
            Tilt tilt = new Tilt(new Product(Torch.of(new float[] {1.01f, 0.7f}, 2, 1)), 1);
            double[] expected = tilt.score(states, Condition.none()).toDoubleArray();
            try (Autocast narrow = Autocast.bfloat16(Device.Type.CPU)) {
                assertArrayEquals(
                        expected,
                        tilt.scoreWithoutAutocast(states, Condition.none()).toDoubleArray());
                double[] rounded = tilt.score(states, Condition.none()).toDoubleArray();
                assertTrue(Math.abs(rounded[0] - expected[0]) > 1e-4, rounded[0] + " " + expected[0]);
            }
        }
    }
}
