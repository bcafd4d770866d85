package org.metaflowmaps.models.sampler;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** On the CPU a captured sampler gives the sampler's samples. */
final class CapturedSamplerTest {
    @Test
    void samplesAreTheSame() {
        long before = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer();
                RandomSource random = RandomSource.seeded(3);
                RandomSource same = RandomSource.seeded(3);
                CapturedSampler<Condition> captured = CapturedSampler.of(new RefinementSampler(map, 3), map, 2);
                Autograd.Mode off = Autograd.noGrad()) {
            Condition labels =
                    Condition.labelled(Torch.of(new long[] {0, 3, 2})).guided(2.5, 3);
            for (int i = 0; i < 3; i++) {
                SampleResult expected = new RefinementSampler(map, 3).sample(Noise.of(random, map, 3), labels);
                SampleResult result = captured.sample(Noise.of(same, map, 3), labels);
                assertArrayEquals(
                        expected.samples().toFloatArray(), result.samples().toFloatArray());
                assertEquals(expected.evaluations(), result.evaluations());
            }
            Condition wrong = Condition.labelled(Torch.of(new long[] {0, 4, 2}));
            assertRefused(() -> captured.sample(Noise.of(same, map, 3), wrong), "label 4 of item 1");
        }
        assertEquals(before, NativeMemory.liveTensors());
    }
}
