package org.metaflowmaps.models.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

final class LatentScalingTest {
    /** Two channels of two numbers each. */
    @Test
    void eachChannelHasItsNumbersAndUnscalingUndoesScaling() {
        LatentScaling scaling = new LatentScaling(List.of(2.0, 0.5), List.of(1.0, -1.0));
        try (TensorScope scope = TensorScope.open()) {
            Tensor latents = Torch.of(new float[] {3, 5, 3, 5}, 1, 2, 1, 2);
            assertArrayEquals(new float[] {4, 8, 2, 3}, scaling.scaled(latents).toFloatArray());
            assertArrayEquals(
                    latents.toFloatArray(),
                    scaling.unscaled(scaling.scaled(latents)).toFloatArray());
            Refusal.assertRefused(() -> scaling.scaled(Torch.zeros(1, 3, 1, 1)), "with 2 channels");
            assertEquals(
                    1,
                    LatentScaling.of(0.25, 0)
                            .scaled(Torch.zeros(1, 3, 1, 1).fill_(4))
                            .mean()
                            .item());
        }
    }

    @Test
    void textIsReadAgainAndWrongTextIsRefused() {
        LatentScaling scaling = new LatentScaling(List.of(2.0, 0.18215), List.of(1.0, -1e-9));
        assertEquals(scaling, LatentScaling.of(scaling.text()));
        for (String text : List.of(
                "[]",
                "{}",
                "{\"scale\": [1]}",
                "{\"scale\": [1], \"shift\": [1, 2]}",
                "{\"scale\": [0], \"shift\": [0]}",
                "{\"scale\": [\"1\"], \"shift\": [0]}",
                "{\"scale\": [1], \"shift\": [1e999]}")) {
            Refusal.assertRefused(() -> LatentScaling.of(text), "");
        }
    }
}
