package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Close;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

final class LinearInterpolantTest {
    private static final double ROUNDING = 1e-6;

    @Test
    void beginsAtTheNoiseAndEndsAtTheDataExactly() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            Tensor noise = random.normal(4, 2, 3, 3);
            Tensor data = random.normal(4, 2, 3, 3).mul(100);
            assertArrayEquals(
                    noise.toFloatArray(),
                    LinearInterpolant.state(noise, data, Torch.zeros(4)).toFloatArray());
            assertArrayEquals(
                    data.toFloatArray(),
                    LinearInterpolant.state(noise, data, Torch.onesLike(Torch.zeros(4)))
                            .toFloatArray());
        }
    }

    @Test
    void everyItemHasItsOwnTime() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor noise = Torch.of(new float[] {1, 2, 1, 2, 1, 2}, 3, 2);
            Tensor data = Torch.of(new float[] {5, -2, 5, -2, 5, -2}, 3, 2);
            Tensor state = LinearInterpolant.state(noise, data, Torch.of(new float[] {0.25f, 0.5f, 0.75f}));
            Close.assertClose(Torch.of(new float[] {2, 1, 3, 0, 4, -1}, 3, 2), state, ROUNDING, "states");
        }
    }

    @Test
    void theVelocityIsTheChangeOfTheState() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2)) {
            Tensor noise = random.normal(5, 3);
            Tensor data = random.normal(5, 3);
            Tensor late = LinearInterpolant.state(noise, data, Torch.zeros(5).add(0.75));
            Tensor early = LinearInterpolant.state(noise, data, Torch.zeros(5).add(0.25));
            Close.assertClose(late.sub(early).mul(2), LinearInterpolant.velocity(noise, data), ROUNDING, "velocity");
        }
    }
}
