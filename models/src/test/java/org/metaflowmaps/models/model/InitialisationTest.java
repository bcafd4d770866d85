package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.models.model.SmallNetworks.Option;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** A meta flow map initialised from another network computes the same results, to the last bit. */
final class InitialisationTest {
    private static TransformerConfig config(boolean zeroData, boolean learnSigma, boolean norms, boolean preserve) {
        return TransformerConfig.builder()
                .inputSize(4)
                .patchSize(2)
                .inChannels(2)
                .hiddenSize(8)
                .depth(3)
                .numHeads(2)
                .labelDim(3)
                .encoderDepth(2)
                .classScales(List.of(2.5))
                .mlpRatio(2)
                .zeroData(zeroData)
                .learnSigma(learnSigma)
                .qkNorm(norms)
                .preserveContextAtZero(preserve)
                .build();
    }

    /** A target with other weights everywhere. */
    private static void assertBeginsAt(MetaFlowMap source, MetaFlowMap target) {
        assertBeginsAt(source, target, 0);
    }

    private static void assertBeginsAt(MetaFlowMap source, MetaFlowMap target, float rounding) {
        Initialisation.from(source, target);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(5);
                Autograd.Mode off = Autograd.noGrad()) {
            for (int i = 0; i < 3; i++) {
                Tensor state = SmallNetworks.items(source, random);
                Context context = SmallNetworks.context(source, random);
                Tensor start = random.uniform(SmallNetworks.BATCH);
                Tensor end = start.add(random.uniform(SmallNetworks.BATCH)).clampMax(1);
                assertSame(source, target, start, end, state, context, rounding);
                assertSame(source, target, start, start, state, context, rounding);
            }
        }
    }

    private static void assertSame(
            MetaFlowMap source,
            MetaFlowMap target,
            Tensor start,
            Tensor end,
            Tensor state,
            Context context,
            float rounding) {
        float[] expected = source.averageVelocity(start, end, state, context).toFloatArray();
        assertArrayEquals(
                expected, target.averageVelocity(start, end, state, context).toFloatArray(), rounding);
        double size = 0;
        for (float value : expected) {
            size = Math.max(size, Math.abs(value));
        }
        assertTrue(size > 0.01, "the source computes nothing");
    }

    @ParameterizedTest
    @CsvSource({
        "false, false, false, false",
        "true, false, false, false",
        "false, true, true, false",
        "true, false, true, true",
        "false, false, false, true"
    })
    void aMetaFlowMapBeginsAtAFlowMapForEveryContext(
            boolean zeroData, boolean learnSigma, boolean norms, boolean preserve) {
        long before = NativeMemory.liveTensors();
        TransformerConfig config = config(zeroData, learnSigma, norms, preserve);
        try (FlowMapTransformer source = SmallNetworks.transformer(config.withoutContext());
                FlowMapTransformer target = SmallNetworks.transformer(config)) {
            assertBeginsAt(source, target);
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    /** Half as many columns: on some processors matrix products round differently for another shape. */
    @Test
    void ofAHeadWithVariancesTheMeansAreTaken() {
        try (FlowMapTransformer source = SmallNetworks.transformer(
                        config(false, true, false, false).withoutContext());
                FlowMapTransformer target = SmallNetworks.transformer(config(false, false, false, false))) {
            assertBeginsAt(source, target, 1e-6f);
        }
    }

    @Test
    void aFlowMapBeginsAtAFlowAndAMetaFlowMapAtAnother() {
        try (FlowMapTransformer flow = SmallNetworks.transformer(
                        config(false, false, false, false).withoutContext());
                FlowMapTransformer flowMap = FlowMapTransformer.zeros(flow.config(), Device.CPU);
                FlowMapTransformer meta = SmallNetworks.transformer(config(false, false, false, false));
                FlowMapTransformer other = FlowMapTransformer.zeros(meta.config(), Device.CPU)) {
            assertBeginsAt(flow, flowMap);
            assertBeginsAt(meta, other);
        }
    }

    @Test
    void smallNetworksBeginAtTheirSourceToo() {
        MlpConfig config = SmallNetworks.mlpConfig(2, 12, 2, 4);
        try (MlpFlowMap source = SmallNetworks.mlp(config.withoutContext());
                MlpFlowMap target = SmallNetworks.mlp(config)) {
            assertBeginsAt(source, target);
        }
    }

    /** Every zero gate must be able to change: the first step has a gradient for it. */
    @Test
    void theContextsGatesHaveGradients() {
        try (FlowMapTransformer source = SmallNetworks.transformer(
                        config(false, false, false, false).withoutContext());
                FlowMapTransformer target = SmallNetworks.transformer(config(false, false, false, false));
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(6)) {
            Initialisation.from(source, target);
            target.parameters().gradients().zero_();
            Tensor start = random.uniform(SmallNetworks.BATCH);
            Tensor output = target.averageVelocity(
                    start,
                    Torch.onesLike(start),
                    SmallNetworks.items(target, random),
                    SmallNetworks.context(target, random));
            Autograd.backward(output.square().sum());
            // Not x_cond_adaLN's weight: its input, the embedded context time, is still 0 and changes first.
            for (String name : List.of(
                    "x_cond_adaLN.1.bias",
                    "t_cond_embedder.mlp.2.weight",
                    "t_embedder.mlp.2.weight",
                    "s_embedder_second.mlp.2.weight",
                    "guidance_embedder.embedding_table.weight")) {
                assertTrue(
                        target.parameters()
                                        .view(name, target.parameters().gradients())
                                        .norm()
                                        .item()
                                > 0,
                        name + " has no gradient");
            }
        }
    }

    @Test
    void whatDoesNotFitIsRefused() {
        TransformerConfig plain = config(false, false, false, false);
        try (FlowMapTransformer source = SmallNetworks.transformer(plain.withoutContext());
                FlowMapTransformer meta = SmallNetworks.transformer(plain);
                FlowMapTransformer flipped = SmallNetworks.transformer(config(true, false, false, false));
                FlowMapTransformer joint = SmallNetworks.transformer(SmallNetworks.config(Option.JOINT));
                FlowMapTransformer wider =
                        SmallNetworks.transformer(SmallNetworks.transformerConfig(4, 2, 2, 16, 3, 2, 3));
                MlpFlowMap small = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 12, 2, 4))) {
            assertRefused(() -> Initialisation.from(source, flipped), "is_zero_data", "false for the source and true");
            assertRefused(() -> Initialisation.from(source, joint), "use_joint_attention");
            assertRefused(() -> Initialisation.from(source, wider), "x_embedder", "of the source is");
            assertRefused(() -> Initialisation.from(meta, source), "layout");
            assertRefused(() -> Initialisation.from(small, meta), "MlpFlowMap", "FlowMapTransformer");
        }
    }

    /** No part of a source is skipped silently. */
    @Test
    void aSourceWithMoreIsRefused() {
        TransformerConfig plain = config(false, false, false, false);
        try (FlowMapTransformer target = SmallNetworks.transformer(plain);
                FlowMapTransformer norms = SmallNetworks.transformer(
                        config(false, false, true, false).withoutContext());
                FlowMapTransformer deeper = SmallNetworks.transformer(
                        plain.toBuilder().depth(4).build().withoutContext());
                FlowMapTransformer heads = SmallNetworks.transformer(
                        plain.toBuilder().numHeads(4).build().withoutContext());
                FlowMapTransformer stages = SmallNetworks.transformer(
                        plain.toBuilder().encoderDepth(1).build().withoutContext());
                FlowMapTransformer scales = SmallNetworks.transformer(
                        plain.toBuilder().classScales(List.of(1.5)).build());
                MlpFlowMap thin = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 12, 1, 4));
                MlpFlowMap thick = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 12, 2, 4))) {
            assertRefused(() -> Initialisation.from(norms, target), "the target has no blocks.0.attn.q_norm.scale");
            assertRefused(() -> Initialisation.from(deeper, target), "the target has no blocks.3.");
            assertRefused(() -> Initialisation.from(heads, target), "num_heads is 4 for the source and 2");
            assertRefused(() -> Initialisation.from(stages, target), "encoder_depth is 1 for the source and 2");
            assertRefused(
                    () -> Initialisation.from(scales, target),
                    "model_guidance_class_ws is [1.5] for the source and [2.5]");
            assertRefused(() -> Initialisation.from(thick, thin), "the target has no ");
        }
    }
}
