package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.refused;

import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Decoder;

class SampleArchiveTest {
    /** Decodes by a logarithm, which is NaN below 0. */
    private record Logarithm(String diagnosis) implements Decoder {
        @Override
        public Tensor decode(Tensor states) {
            return states.log();
        }
    }

    @Test
    void nanIsRefusedWithTheStageThatMadeIt() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor good = Torch.of(new float[] {1, (float) Math.E});
            assertArrayEquals(
                    new double[] {0, 255},
                    SampleArchive.levels(good, new Logarithm(""), Quantisation.round)
                            .toDoubleArray());
            Tensor bad = Torch.of(new float[] {1, -1});
            refused(
                    IllegalStateException.class,
                    "NaN in the images: NaN appeared first in the decoder",
                    () -> SampleArchive.levels(
                            bad, new Logarithm("NaN appeared first in the decoder"), Quantisation.round));
            refused(
                    IllegalStateException.class,
                    "NaN in the images: the map made it",
                    () -> SampleArchive.levels(bad, new Logarithm(""), Quantisation.round));
        }
    }

    /** The formulas of both for a value x of [-1, 1], decoded to (x + 1) / 2. */
    @Test
    void levelsAreRoundedOrTruncated() {
        try (TensorScope scope = TensorScope.open()) {
            double[] values = {-1, -0.9999, -0.003, 0, 0.0078, 0.5, 0.997, 1};
            Tensor images = Torch.of(values).add(1).div(2);
            double[] rounded = Quantisation.round.levels(images).toDoubleArray();
            double[] truncated = Quantisation.truncate.levels(images).toDoubleArray();
            for (int i = 0; i < values.length; i++) {
                assertEquals(Math.min(255, Math.floor(127.5 * values[i] + 128)), rounded[i]);
                assertEquals(Math.floor(127.5 * values[i] + 127.5), truncated[i]);
            }
            assertTrue(rounded[6] == 255 && truncated[6] == 254);
        }
    }
}
