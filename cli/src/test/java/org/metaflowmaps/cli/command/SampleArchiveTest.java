package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
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
                    SampleArchive.levels(good, new Logarithm("")).toDoubleArray());
            Tensor bad = Torch.of(new float[] {1, -1});
            refused(
                    IllegalStateException.class,
                    "NaN in the images: NaN appeared first in the decoder",
                    () -> SampleArchive.levels(bad, new Logarithm("NaN appeared first in the decoder")));
            refused(
                    IllegalStateException.class,
                    "NaN in the images: the map made it",
                    () -> SampleArchive.levels(bad, new Logarithm("")));
        }
    }
}
