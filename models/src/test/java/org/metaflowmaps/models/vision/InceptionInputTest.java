package org.metaflowmaps.models.vision;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.vision.image.ByteImage;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

final class InceptionInputTest {
    /** {@link org.metaflowmaps.models.vision.image.FloatImage} equals clean-fid's resizing. */
    @Test
    void cleanFidsImagesAreThoseOfPillow() {
        long live = NativeMemory.liveTensors();
        for (int[] size : new int[][] {{31, 40}, {400, 350}, {299, 299}}) {
            byte[] pixels = new byte[size[0] * size[1] * 3];
            new Random(1).nextBytes(pixels);
            ByteImage image = ByteImage.ofPixels(pixels, size[0], size[1], 3);
            try (TensorScope scope = TensorScope.open()) {
                Tensor expected = image.floats().cleanFid(299, 299).tensor();
                Tensor prepared =
                        InceptionInput.CLEAN_FID.prepare(image.tensor().unsqueeze(0), DType.FLOAT32);
                assertArrayEquals(
                        expected.toFloatArray(), prepared.mul(128).add(128).toFloatArray(), 1e-4f);
                assertEquals(
                        DType.FLOAT64,
                        InceptionInput.CLEAN_FID
                                .prepare(image.tensor().unsqueeze(0), DType.FLOAT64)
                                .dtype());
            }
        }
        assertEquals(live, NativeMemory.liveTensors());
    }
}
