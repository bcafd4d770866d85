package org.metaflowmaps.models.vision;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** A linear layer as a convolution is the same function. */
final class PointwiseTest {
    private static final double TOLERANCE = 2e-5;

    @Test
    void equalsTheLinearLayerWithItsGradient() {
        compare(3, 21, 40);
        compare(1, 1, 35, 40);
        compare(17, 40);
        // Enough elements for oneDNN; libtorch computes smaller convolutions by itself.
        compare(1, 600, 40);
    }

    @Test
    void takesAnInputWhoseElementsAreNotInOrder() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2)) {
            Tensor weight = random.normal(24, 40);
            Tensor bias = random.normal(24);
            Tensor turned = random.normal(2, 40, 30).transpose(1, 2);
            assertArrayEquals(
                    Torch.linear(turned, weight, bias).toDoubleArray(),
                    ImageLayers.pointwise(turned, weight, bias).toDoubleArray(),
                    TOLERANCE);
        }
    }

    private static void compare(long... shape) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            Tensor weight = random.normal(24, 40);
            Tensor bias = random.normal(24);
            Tensor input = random.normal(shape).requiresGrad_(true);
            Tensor expected = Torch.linear(input, weight, bias);
            Tensor found = ImageLayers.pointwise(input, weight, bias);
            assertEquals(expected.shape(), found.shape());
            assertArrayEquals(expected.toDoubleArray(), found.toDoubleArray(), TOLERANCE);
            Tensor cotangent = random.normal(expected.shape().sizes().toArray());
            assertArrayEquals(
                    Autograd.gradients(expected, List.of(input), cotangent)
                            .getFirst()
                            .toDoubleArray(),
                    Autograd.gradients(found, List.of(input), cotangent)
                            .getFirst()
                            .toDoubleArray(),
                    TOLERANCE);
        }
    }
}
