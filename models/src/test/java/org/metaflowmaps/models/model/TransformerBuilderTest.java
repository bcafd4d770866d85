package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Refusal;

final class TransformerBuilderTest {
    private static TransformerBuilder sizes() {
        return TransformerConfig.builder()
                .inputSize(32)
                .patchSize(2)
                .inChannels(4)
                .hiddenSize(384)
                .depth(12)
                .numHeads(6)
                .labelDim(10);
    }

    @Test
    void defaultsAreTheUsualChoices() {
        assertEquals(TransformerConfig.of(32, 2, 4, 384, 12, 6, 10), sizes().build());
    }

    @Test
    void everySettingReachesItsPlace() {
        TransformerConfig expected = new TransformerConfig(
                32,
                2,
                4,
                384,
                12,
                6,
                10,
                5,
                List.of(2.0),
                List.of(3.0, 4.0),
                3,
                true,
                true,
                true,
                true,
                true,
                Layout.META_FLOW_MAP);
        assertEquals(
                expected,
                sizes().encoderDepth(5)
                        .classScales(List.of(2.0))
                        .contextScales(List.of(3.0, 4.0))
                        .mlpRatio(3)
                        .zeroData(true)
                        .learnSigma(true)
                        .qkNorm(true)
                        .preserveContextAtZero(true)
                        .jointAttention(true)
                        .layout(Layout.META_FLOW_MAP)
                        .build());
        assertEquals(
                List.of(true, false, false, false, false),
                List.of(
                        sizes().zeroData(true).build().zeroData(),
                        sizes().zeroData(true).build().learnSigma(),
                        sizes().zeroData(true).build().qkNorm(),
                        sizes().learnSigma(true).build().zeroData(),
                        sizes().qkNorm(true).build().jointAttention()));
        assertEquals(Layout.FLOW_MAP, sizes().layout(Layout.FLOW_MAP).build().layout());
    }

    @Test
    void missingSizesAreNamed() {
        Refusal.assertRefused(() -> TransformerConfig.builder().build(), "input_size 0");
        Refusal.assertRefused(() -> sizes().hiddenSize(0).build(), "hidden_size is 0");
    }
}
