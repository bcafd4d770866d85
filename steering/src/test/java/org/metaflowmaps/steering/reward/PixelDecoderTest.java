package org.metaflowmaps.steering.reward;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

final class PixelDecoderTest {
    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static PixelDecoder resizing(PixelDecoder.Method method, int height, int width) {
        return new PixelDecoder(0, 1, Optional.of(new PixelDecoder.Resize(method, height, width)));
    }

    /** 3.3 - 2.3 is not 1 in floating point, but the clamp is exact. */
    @Test
    void theClampIsExactAndStraightThrough() {
        for (DType type : new DType[] {DType.FLOAT32, DType.FLOAT64}) {
            try (TensorScope scope = TensorScope.open()) {
                Tensor states =
                        Torch.of(new double[] {-3.7, -1, 0, 1, 5.6}, 1, 1, 1, 5).to(type);
                double[] expected = {0, 0, 0.5, 1, 1};
                assertArrayEquals(expected, new PixelDecoder().decode(states).toDoubleArray(), 0);
                assertFalse(new PixelDecoder().decode(states).requiresGrad());
                Tensor input = states.clone().requiresGrad_(true);
                Tensor images = new PixelDecoder().decode(input);
                assertArrayEquals(expected, images.toDoubleArray(), 0);
                assertArrayEquals(
                        new double[] {0.5, 0.5, 0.5, 0.5, 0.5},
                        Autograd.gradients(images.sum(), List.of(input))
                                .getFirst()
                                .toDoubleArray(),
                        0);
            }
        }
    }

    @Test
    void rangesMayBeAnyAlsoReversed() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor states = Torch.of(new double[] {0, 64, 255}, 1, 1, 1, 3);
            assertArrayEquals(
                    new double[] {0, 64 / 255.0, 1},
                    new PixelDecoder(0, 255, Optional.empty()).decode(states).toDoubleArray(),
                    1e-15);
            assertArrayEquals(
                    new double[] {1, 191 / 255.0, 0},
                    new PixelDecoder(255, 0, Optional.empty()).decode(states).toDoubleArray(),
                    1e-15);
        }
    }

    @Test
    void imagesAreResizedWithGradient() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor states = Torch.of(new double[] {0, 1, 0.5, 0.25}, 1, 1, 2, 2).requiresGrad_(true);
            Tensor nearest = resizing(PixelDecoder.Method.NEAREST, 2, 4).decode(states);
            assertArrayEquals(new double[] {0, 0, 1, 1, 0.5, 0.5, 0.25, 0.25}, nearest.toDoubleArray());
            assertArrayEquals(
                    new double[] {2, 2, 2, 2},
                    Autograd.gradients(nearest.sum(), List.of(states))
                            .getFirst()
                            .toDoubleArray());
            Tensor bilinear = resizing(PixelDecoder.Method.BILINEAR, 2, 4).decode(states);
            assertArrayEquals(
                    new double[] {0, 0.25, 0.75, 1, 0.5, 0.4375, 0.3125, 0.25}, bilinear.toDoubleArray(), 1e-12);
            assertArrayEquals(
                    new double[] {2, 2, 2, 2},
                    Autograd.gradients(bilinear.sum(), List.of(states))
                            .getFirst()
                            .toDoubleArray(),
                    1e-12);
            Tensor large = Samples.images(2, 3);
            Tensor small = resizing(PixelDecoder.Method.BILINEAR, 2, 2).decode(large);
            assertEquals(Shape.of(2, Samples.CHANNELS, 2, 2), small.shape());
            assertTrue(small.max().item() < large.max().item(), "shrinking averages");
        }
    }

    @Test
    void whatDoesNotFitIsRefused() {
        assertRefused(() -> new PixelDecoder(1, 1, Optional.empty()), "from 1.0 to 1.0");
        assertRefused(() -> new PixelDecoder(0, Double.NaN, Optional.empty()), "finite");
        assertRefused(() -> resizing(PixelDecoder.Method.NEAREST, 0, 4), "0 x 4");
        try (TensorScope scope = TensorScope.open()) {
            Tensor vectors = Torch.zeros(3, 2);
            assertRefused(() -> new PixelDecoder().decode(vectors), "(N, C, H, W)", "IDENTITY");
        }
    }
}
