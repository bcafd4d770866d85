package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Close;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

final class NetworkTest {
    /** SmallNetworks with their initial weights. */
    enum Kind {
        TRANSFORMER,
        QK_NORM,
        JOINT,
        MLP;

        MetaFlowMap make(RandomSource random) {
            return switch (this) {
                case TRANSFORMER -> FlowMapTransformer.initialised(SmallNetworks.config(), Device.CPU, random);
                case QK_NORM ->
                    FlowMapTransformer.initialised(
                            SmallNetworks.config(SmallNetworks.Option.QK_NORM), Device.CPU, random);
                case JOINT ->
                    FlowMapTransformer.initialised(
                            SmallNetworks.config(SmallNetworks.Option.JOINT), Device.CPU, random);
                case MLP -> MlpFlowMap.initialised(SmallNetworks.mlpConfig(2, 64, 3, 3), Device.CPU, random);
            };
        }
    }

    @ParameterizedTest
    @EnumSource
    void beginsAtVelocityZeroAndCanLearn(Kind kind) {
        try (RandomSource random = RandomSource.seeded(1);
                TensorScope scope = TensorScope.open();
                MetaFlowMap map = kind.make(random)) {
            Context context = SmallNetworks.context(map, random);
            Tensor state = SmallNetworks.items(map, random);
            Dual velocity = map.averageVelocity(
                    Dual.of(context.time(), Torch.onesLike(context.time())),
                    Dual.constant(context.time()),
                    Dual.of(state, state),
                    context);
            assertEquals(0, velocity.primal().abs().max().item());
            assertEquals(0, velocity.tangentOrZero().abs().max().item());
            Autograd.backward(velocity.primal().sub(1).square().sum());
            assertTrue(map.parameters()
                            .view("final_layer.linear.weight", map.parameters().gradients())
                            .norm()
                            .item()
                    > 1e-3);
        }
    }

    @ParameterizedTest
    @EnumSource
    void sameSeedSameWeights(Kind kind) {
        try (TensorScope scope = TensorScope.open();
                RandomSource one = RandomSource.seeded(3);
                RandomSource two = RandomSource.seeded(3);
                RandomSource three = RandomSource.seeded(4);
                MetaFlowMap first = kind.make(one);
                MetaFlowMap second = kind.make(two);
                MetaFlowMap third = kind.make(three)) {
            assertArrayEquals(
                    first.parameters().values().toFloatArray(),
                    second.parameters().values().toFloatArray());
            assertTrue(Close.farthest(
                            first.parameters().values(), third.parameters().values())
                    > 0.01);
        }
    }

    /** Signals keep their size through the MLP, so that any depth can be trained. */
    @Test
    void smallNetworksHiddenLayersKeepTheirScale() {
        try (RandomSource random = RandomSource.seeded(2);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                MlpFlowMap map = MlpFlowMap.initialised(SmallNetworks.mlpConfig(2, 128, 4, 0), Device.CPU, random)) {
            map.parameters()
                    .get("final_layer.linear.weight")
                    .copy_(random.normal(2, 128).div(Math.sqrt(128)));
            Tensor state = random.normal(256, 2);
            Tensor velocity = map.averageVelocity(
                    random.uniform(256),
                    random.uniform(256),
                    state,
                    new Context(random.uniform(256), random.normal(256, 2)));
            double size = Math.sqrt(velocity.square().mean().item());
            assertTrue(size > 0.3 && size < 10, "size " + size);
        }
    }

    @Test
    void parameterCountsAreThoseOfThePublishedSizes() {
        List<Double> scales = List.of(2.5);
        TransformerConfig xl = TransformerConfig.builder()
                .inputSize(32)
                .patchSize(2)
                .inChannels(4)
                .hiddenSize(1152)
                .depth(28)
                .numHeads(16)
                .labelDim(1000)
                .encoderDepth(20)
                .classScales(scales)
                .zeroData(true)
                .build();
        TransformerConfig base = TransformerConfig.builder()
                .inputSize(32)
                .patchSize(2)
                .inChannels(4)
                .hiddenSize(768)
                .depth(12)
                .numHeads(12)
                .labelDim(1000)
                .encoderDepth(8)
                .classScales(scales)
                .build();
        assertEquals(684.0, Math.round(xl.parameterCount() / 1e5) / 10.0);
        assertEquals(134.7, Math.round(base.parameterCount() / 1e5) / 10.0);
        // The additional parameters of a meta flow map: four times, modulation, patches, guidance.
        long width = 1152;
        long added = 4 * (256 * width + width + width * width + width)
                + 2 * width * (width + 1)
                + (4 * 4 * width + width)
                + 2 * width;
        assertEquals(9.18, Math.round(added / 1e4) / 100.0);
        try (FlowMapTransformer map = SmallNetworks.transformer()) {
            assertEquals(map.parameters().count(), SmallNetworks.config().parameterCount());
        }
    }

    @Test
    void whatDoesNotFitIsRefusedAtTheDoor() {
        try (RandomSource random = RandomSource.seeded(1);
                TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer();
                MetaFlowMap unlabelled = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 4, 1, 0))) {
            Context good = SmallNetworks.context(map, random);
            Tensor state = SmallNetworks.items(map, random);
            Tensor time = good.time();
            Tensor guidance = time;
            assertRefused(
                    () -> map.averageVelocity(time, time, state.narrow(2, 0, 3), good),
                    "state",
                    "[3, 2, 3, 4]",
                    "[2, 4, 4]");
            assertRefused(() -> map.averageVelocity(time, time, state.select(0, 0), good), "state", "[2, 4, 4]");
            assertRefused(
                    () -> map.averageVelocity(time.narrow(0, 0, 2), time, state, good), "start time", "[2]", "[3]");
            assertRefused(() -> map.averageVelocity(time, time.unsqueeze(1), state, good), "end time", "[3, 1]", "[3]");
            assertRefused(
                    () -> map.averageVelocity(time, time, state.to(DType.FLOAT64), good),
                    "state",
                    "float64",
                    "float32");
            assertRefused(
                    () -> map.averageVelocity(time.to(DType.INT64), time, state, good),
                    "start time",
                    "int64",
                    "float32");
            assertRefused(
                    () -> map.averageVelocity(time, time, state, new Context(time.narrow(0, 0, 1), good.state())),
                    "context time",
                    "[1]");
            assertRefused(
                    () -> map.averageVelocity(time, time, state, new Context(time, state.narrow(0, 0, 2))),
                    "context state",
                    "[2, 2, 4, 4]");
            assertRefused(
                    () -> map.averageVelocity(
                            time, time, state, good.with(Condition.none().guided(guidance.narrow(0, 0, 2)))),
                    "guidance",
                    "[2]",
                    "[3]");
            for (long label : new long[] {-1, 4}) {
                assertRefused(
                        () -> map.averageVelocity(
                                time, time, state, good.with(Condition.labelled(Torch.of(new long[] {0, label, 1})))),
                        "label " + label,
                        "0 to 2",
                        "3 for no label");
            }
            assertRefused(
                    () -> map.averageVelocity(
                            time, time, state, good.with(Condition.labelled(Torch.of(new long[] {0, 1})))),
                    "labels",
                    "int64[3]");
            assertRefused(
                    () -> map.averageVelocity(time, time, state, good.with(Condition.labelled(time))),
                    "labels",
                    "float32",
                    "int64[3]");
            Tensor pair = random.normal(3, 2);
            assertRefused(
                    () -> unlabelled.averageVelocity(
                            time, time, pair, new Context(time, pair, Condition.labelled(Torch.of(new long[] {0, 0, 0
                            })))),
                    "without classes");
            assertRefused(
                    () -> unlabelled.averageVelocity(time, time, random.normal(3, 3), new Context(time, pair)),
                    "[3, 3]",
                    "[2]");
        }
    }

    @Test
    void shapesThatCannotBeAreRefused() {
        assertRefused(() -> SmallNetworks.transformerConfig(28, 3, 1, 16, 2, 2, 10), "input_size 28", "patch_size 3");
        assertRefused(() -> SmallNetworks.transformerConfig(28, 4, 1, 18, 2, 2, 10), "hidden_size is 18");
        assertRefused(() -> SmallNetworks.transformerConfig(28, 4, 1, 16, 2, 3, 10), "hidden_size 16", "num_heads 3");
        assertRefused(() -> SmallNetworks.transformerConfig(28, 4, 1, 16, 0, 2, 10), "depth is 0");
        assertRefused(() -> SmallNetworks.transformerConfig(28, 4, 1, 16, 2, 2, -1), "label_dim is -1");
        assertRefused(
                () -> SmallNetworks.config().toBuilder().encoderDepth(4).build(), "encoder_depth is 4", "0 to depth 3");
        assertRefused(
                () -> SmallNetworks.config().toBuilder()
                        .classScales(List.of(Double.NaN))
                        .build(),
                "model_guidance_class_ws",
                "NaN");
        assertRefused(() -> SmallNetworks.mlpConfig(0, 4, 1, 0), "dimension is 0");
        assertRefused(() -> SmallNetworks.mlpConfig(2, 0, 1, 0), "width is 0");
        assertRefused(() -> SmallNetworks.mlpConfig(2, 4, -1, 0), "depth is -1");
        assertRefused(() -> SmallNetworks.mlpConfig(2, 4, 1, -2), "label_dim is -2");
    }

    /** preserve_t_cond_0 removes the context's effect at t = 0, but not above. */
    @Test
    void preservedContextIsOffAtTimeZero() {
        try (RandomSource random = RandomSource.seeded(1);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                MetaFlowMap map = SmallNetworks.transformer(SmallNetworks.config(SmallNetworks.Option.PRESERVE))) {
            Tensor time = random.uniform(SmallNetworks.BATCH);
            Tensor state = SmallNetworks.items(map, random);
            for (double t : new double[] {0, 0.5}) {
                Tensor contextTime = Torch.full(t, DType.FLOAT32, Device.CPU, SmallNetworks.BATCH);
                Tensor one = map.averageVelocity(time, time, state, new Context(contextTime, state));
                Tensor other = map.averageVelocity(time, time, state, new Context(contextTime, state.flip(0)));
                assertEquals(t == 0, Close.farthest(one, other) == 0);
            }
        }
    }
}
