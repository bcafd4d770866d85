package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeout;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.checkpoint.NetworkFile;
import org.metaflowmaps.models.checkpoint.NetworkSettings;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.checkpoint.StrictJson;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.MlpFlowMap;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.metrics.ProcessMemory;
import org.metaflowmaps.training.plan.StepPlan;

/** Settings of a network, from a file or a configuration, are checked before it is built. */
class ClaimsTest {
    private static final String TRANSFORMER =
            "{\"transformer\":{\"input_size\":4,\"patch_size\":2,\"in_channels\":1,\"hidden_size\":8,"
                    + "\"depth\":1,\"num_heads\":2,\"label_dim\":3,\"encoder_depth\":1,\"mlp_ratio\":4}}";

    @TempDir
    private Path folder = Path.of("");

    static List<String> claims() {
        return List.of(
                "{\"mlp\":{\"dimension\":2,\"width\":4,\"depth\":2147483647,\"label_dim\":3}}",
                "{\"mlp\":{\"dimension\":2,\"width\":20000,\"depth\":1,\"label_dim\":3}}",
                "{\"mlp\":{\"dimension\":2,\"width\":2147483647,\"depth\":2147483647,\"label_dim\":2147483646}}",
                "{\"mlp\":{\"dimension\":-2,\"width\":4,\"depth\":1,\"label_dim\":3}}",
                TRANSFORMER.replace("\"depth\":1", "\"depth\":2147483647"),
                TRANSFORMER.replace("\"hidden_size\":8", "\"hidden_size\":2147483640"),
                TRANSFORMER.replace("\"hidden_size\":8", "\"hidden_size\":0"),
                TRANSFORMER.replace("\"label_dim\":3", "\"label_dim\":2147483647"),
                TRANSFORMER.replace("\"label_dim\":3", "\"label_dim\":2147483646"),
                TRANSFORMER.replace("\"num_heads\":2", "\"num_heads\":3"),
                TRANSFORMER.replace("\"encoder_depth\":1", "\"encoder_depth\":2"),
                TRANSFORMER.replace("\"mlp_ratio\":4", "\"mlp_ratio\":1e300"),
                TRANSFORMER.replace("\"mlp_ratio\":4", "\"mlp_ratio\":\"NaN\""),
                TRANSFORMER.replace("\"mlp_ratio\":4", "\"mlp_ratio\":0.01"),
                TRANSFORMER.replace(
                        "\"input_size\":4,\"patch_size\":2", "\"input_size\":2147483647,\"patch_size\":2147483647"),
                TRANSFORMER.replace("\"input_size\":4,\"patch_size\":2", "\"input_size\":65536,\"patch_size\":1"),
                TRANSFORMER.replace("\"in_channels\":1", "\"in_channels\":2147483647"),
                TRANSFORMER.replace("\"in_channels\":1", "\"in_channels\":\"1\""),
                TRANSFORMER.replace("\"in_channels\":1", "\"in_channels\":1.5"),
                TRANSFORMER.replace("\"in_channels\":1", "\"in_channels\":null"),
                TRANSFORMER.replace("\"in_channels\":1,", ""),
                TRANSFORMER.replace("\"in_channels\":1", "\"in_channels\":1,\"in_channels\":2"),
                TRANSFORMER.replace("\"in_channels\":1", "\"model_guidance_class_ws\":[null]"),
                TRANSFORMER.replace(
                        "\"in_channels\":1",
                        "\"in_channels\":1,\"model_guidance_class_ws\":" + Collections.nCopies(200_000, 1.5)),
                TRANSFORMER.replace(
                        "\"in_channels\":1",
                        "\"in_channels\":1,\"model_guidance_x_ws\":" + Collections.nCopies(100_000, 1)),
                TRANSFORMER + "{}",
                "[]",
                "7",
                "null",
                "",
                "{",
                "{\"mlp\":null}",
                "[".repeat(100_000),
                " ".repeat(2_000_000));
    }

    @ParameterizedTest
    @MethodSource("claims")
    void aCheckpointThatClaimsWhatItDoesNotHoldIsRefusedAtOnce(String network) throws IOException {
        Path file = folder.resolve("claims.safetensors");
        Safetensors.write(file, Map.of("network", network), Map.of());
        long before = NativeMemory.liveTensors();
        assertTimeout(Duration.ofSeconds(30), () -> {
            IOException refused = assertThrows(IOException.class, () -> Networks.load(file, Device.CPU));
            String message = String.valueOf(refused.getMessage());
            assertTrue(
                    message.startsWith(file.toString()) && message.lines().count() == 1 && message.length() < 1000,
                    message);
            assertFalse(message.contains("REDACTED") || message.contains("java."), message);
            assertThrows(IOException.class, () -> Networks.check(file, NetworkSettings.none()));
        });
        assertEquals(before, NativeMemory.liveTensors());
    }

    /** The names are correct, the sizes are not. */
    @Test
    void everyTensorIsComparedBeforeTheNetworkIsBuilt() throws IOException {
        Path file = folder.resolve("sizes.safetensors");
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap small = MlpFlowMap.zeros(SmallNetworks.mlpConfig(2, 4, 1, 3), Device.CPU)) {
            Safetensors.write(
                    file,
                    Map.of("network", "{\"mlp\":{\"dimension\":2,\"width\":5,\"depth\":1,\"label_dim\":3}}"),
                    NetworkFile.tensors(small, small.parameters().values()));
        }
        long before = NativeMemory.liveTensors();
        String message = String.valueOf(assertThrows(IOException.class, () -> Networks.load(file, Device.CPU))
                .getMessage());
        assertTrue(message.contains("has shape [4, 2], the network needs [5, 2]"), message);
        assertEquals(before, NativeMemory.liveTensors());
    }

    @Test
    void parametersAreCountedWithoutBuildingAnything() {
        for (Layout layout : Layout.values()) {
            boolean meta = layout == Layout.META_FLOW_MAP;
            for (boolean joint : meta ? new boolean[] {false, true} : new boolean[] {false}) {
                TransformerConfig config = TransformerConfig.builder()
                        .inputSize(4)
                        .patchSize(2)
                        .inChannels(3)
                        .hiddenSize(8)
                        .depth(3)
                        .numHeads(2)
                        .labelDim(5)
                        .encoderDepth(2)
                        .classScales(meta ? List.of(2.0, 3.0) : List.of())
                        .mlpRatio(2.5)
                        .learnSigma(true)
                        .qkNorm(true)
                        .jointAttention(joint)
                        .layout(layout)
                        .build();
                try (MetaFlowMap map = FlowMapTransformer.zeros(config, Device.CPU)) {
                    checkCounts(config, map);
                }
            }
            MlpConfig config = new MlpConfig(2, 5, 3, 4, layout);
            try (MetaFlowMap map = MlpFlowMap.zeros(config, Device.CPU)) {
                checkCounts(config, map);
            }
        }
    }

    private static void checkCounts(NetworkConfig config, MetaFlowMap map) {
        assertEquals(map.parameters().count(), config.parameterCount());
        assertEquals(map.parameters().parameters().size() + map.buffers().size(), config.tensorCount());
        assertEquals(config.tensorCount(), config.shapes().size());
        map.parameters()
                .parameters()
                .forEach((name, parameter) ->
                        assertEquals(parameter.shape(), config.shapes().get(name)));
        assertEquals(
                List.copyOf(map.parameters().parameters().keySet()),
                List.copyOf(config.parameterShapes().keySet()));
    }

    @Test
    void aNetworkThatMemoryLacksForIsRefusedWithFigures() {
        long before = NativeMemory.liveTensors();
        for (NetworkConfig huge : List.of(
                SmallNetworks.mlpConfig(2, 2_000_000, 3, 3),
                SmallNetworks.mlpConfig(2, 4, Integer.MAX_VALUE, 3),
                SmallNetworks.transformerConfig(28, 4, 1, 2_000_000, 1000, 4, 10))) {
            String message = String.valueOf(assertThrows(IllegalArgumentException.class, () -> huge.zeros(Device.CPU))
                    .getMessage());
            assertTrue(message.contains("iB of memory, ") && message.contains("are free: lower"), message);
        }
        assertEquals(before, NativeMemory.liveTensors());
        assertThrows(
                IllegalArgumentException.class,
                () -> ModelConfig.of(SmallNetworks.mlpConfig(2, Integer.MAX_VALUE, Integer.MAX_VALUE, 3)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"{\"step\":1,\"step\":2}", "[1]", "{} {}", "5"})
    void settingsInAFileAreOneObject(String text) {
        assertThrows(IllegalArgumentException.class, () -> StrictJson.object(text));
    }

    @Test
    void aRunThatMemoryLacksForIsRefusedBeforeItBegins() {
        Runs runs = new Runs();
        runs.batch = Integer.MAX_VALUE;
        long before = NativeMemory.liveTensors();
        try (var data = runs.data()) {
            long with = NativeMemory.liveTensors();
            String message = String.valueOf(assertThrows(
                            IllegalArgumentException.class,
                            () -> new TrainingRun(runs.config(), data, Device.CPU, folder))
                    .getMessage());
            assertTrue(
                    message.matches(
                            "config: batch 2147483647 of a network of \\d+ parameters needs .*iB of memory, .* are"
                                    + " free: lower batch and raise accumulate instead"),
                    message);
            assertEquals(with, NativeMemory.liveTensors());
        }
        assertEquals(before, NativeMemory.liveTensors());
        runs.batch = 1000;
        runs.steps = Long.MAX_VALUE;
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, runs::config).getMessage());
        assertTrue(message.contains("lower steps"), message);
    }

    /** The estimate compared with the graph's memory, measured by the process's resident size. */
    @Test
    void theEstimateOfABatchIsOfTheRightOrder() {
        TransformerConfig config = SmallNetworks.transformerConfig(16, 2, 1, 64, 4, 4, 3);
        int batch = 200;
        try (MetaFlowMap map = FlowMapTransformer.zeros(config, Device.CPU)) {
            resident(map, 8);
            double measured = resident(map, batch);
            Runs runs = new Runs();
            runs.model = ModelConfig.of(config);
            runs.consistency = LossConfig.ConsistencyKind.NONE;
            double estimate =
                    batch * StepPlan.of(runs.config(), Device.Type.CPU).memory().item();
            assertTrue(
                    measured == 0 || (measured > estimate / 1.5 && measured < 1.5 * estimate),
                    measured + " measured, " + estimate + " estimated");
        }
    }

    /** Returns the bytes that a forward pass keeps for its backward pass; 0 if the system does not report them. */
    private static double resident(MetaFlowMap map, int batch) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor state = Torch.zeros(DType.FLOAT32, Device.CPU, batch, 1, 16, 16);
            Tensor time = Torch.full(0.5, DType.FLOAT32, Device.CPU, batch);
            long before = size();
            Tensor result = map.averageVelocity(
                    time,
                    time,
                    state,
                    new Context(time, state, Condition.labelled(Torch.zeros(DType.INT64, Device.CPU, batch))));
            assertEquals(batch, result.size(0));
            return size() - before;
        }
    }

    private static long size() {
        return ProcessMemory.resident().orElse(0);
    }

    @Test
    void aFileThatIsNoCheckpointIsRefused() throws IOException {
        Path file = Files.write(folder.resolve("x.safetensors"), new byte[20]);
        assertThrows(IOException.class, () -> Networks.check(file, NetworkSettings.none()));
    }
}
