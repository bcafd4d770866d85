package org.metaflowmaps.models.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;

final class NetworkFileTest {
    @TempDir
    private Path folder;

    private Path write(MetaFlowMap map, Consumer<Map<String, Tensor>> change) throws IOException {
        Path file = folder.resolve("network.safetensors");
        Map<String, Tensor> tensors =
                new LinkedHashMap<>(NetworkFile.tensors(map, map.parameters().values()));
        change.accept(tensors);
        Safetensors.write(file, Map.of(), tensors);
        return file;
    }

    @Test
    void aNetworkComesBackAsItWent() throws IOException {
        for (MetaFlowMap original : SmallNetworks.all().values()) {
            try (original;
                    TensorScope scope = TensorScope.open();
                    MetaFlowMap copy = original instanceof FlowMapTransformer transformer
                            ? FlowMapTransformer.zeros(transformer.config(), Device.CPU)
                            : MlpFlowMap.zeros(((MlpFlowMap) original).config(), Device.CPU);
                    SafetensorsFile file = SafetensorsFile.open(write(original, tensors -> {}));
                    RandomSource random = RandomSource.seeded(1)) {
                NetworkFile.load(copy, file, NetworkFile.PREFIX);
                Context context = SmallNetworks.context(original, random);
                Tensor state = SmallNetworks.items(original, random);
                assertArrayEquals(
                        original.averageVelocity(context.time(), context.time(), state, context)
                                .toFloatArray(),
                        copy.averageVelocity(context.time(), context.time(), state, context)
                                .toFloatArray());
                copy.parameters().parameters().values().forEach(parameter -> assertTrue(parameter.requiresGrad()));
            }
        }
    }

    @Test
    void namesAreThoseOfThePublicCheckpoints() {
        try (FlowMapTransformer plain = SmallNetworks.transformer(SmallNetworks.config(SmallNetworks.Option.QK_NORM));
                FlowMapTransformer joint = SmallNetworks.transformer(
                        SmallNetworks.config(SmallNetworks.Option.QK_NORM, SmallNetworks.Option.JOINT));
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> names =
                    NetworkFile.tensors(plain, plain.parameters().values());
            for (String name : new String[] {
                "x_embedder.proj.weight",
                "x_cond_embedder.proj.bias",
                "x_cond_adaLN.1.weight",
                "t_cond_embedder.mlp.0.weight",
                "s_embedder_second.mlp.2.bias",
                "y_embedder.embedding_table.weight",
                "guidance_embedder.embedding_table.weight",
                "pos_embed",
                "blocks.2.attn.qkv.weight",
                "blocks.0.attn.k_norm.scale",
                "blocks.0.mlp.fc1.weight",
                "blocks.0.adaLN_modulation.1.bias",
                "final_layer.linear.weight",
                "final_layer.adaLN_modulation.1.weight"
            }) {
                assertTrue(names.containsKey("dit." + name), name);
            }
            Map<String, Tensor> others =
                    NetworkFile.tensors(joint, joint.parameters().values());
            for (String name : new String[] {
                "blocks.1.x_cond_embedder.proj.weight",
                "blocks.1.pos_embed",
                "blocks.1.joint_attn.qkv.weight",
                "blocks.1.joint_attn.kv_cond.weight",
                "blocks.1.joint_attn.k_cond_norm.scale",
                "blocks.1.joint_attn.proj.bias",
                "x_cond_embedder.proj.weight",
                "x_cond_adaLN.1.bias"
            }) {
                assertTrue(others.containsKey("dit." + name), name);
            }
            assertEquals(
                    Shape.of(7 * 8, 8),
                    joint.parameters().get("blocks.1.adaLN_modulation.1.weight").shape());
            assertEquals(
                    0,
                    others.keySet().stream()
                            .filter(name -> name.contains(".attn."))
                            .count());
        }
    }

    @Test
    void anotherBufferOfTheLayoutCanBeWritten() throws IOException {
        try (MetaFlowMap map = SmallNetworks.transformer();
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor doubled = map.parameters().values().mul(2);
            float[] expected =
                    map.parameters().get("final_layer.linear.weight").mul(2).toFloatArray();
            assertArrayEquals(
                    expected,
                    Objects.requireNonNull(NetworkFile.tensors(map, doubled).get("dit.final_layer.linear.weight"))
                            .toFloatArray());
        }
    }

    @Test
    void filesThatDoNotFitAreRefusedAndChangeNothing() throws IOException {
        String name = "dit.blocks.0.mlp.fc1.weight";
        refuse(tensors -> tensors.remove(name), name, "missing");
        refuse(tensors -> tensors.put("dit.surplus", Torch.zeros(2)), "dit.surplus", "not part of the network");
        refuse(tensors -> tensors.put(name, Torch.zeros(8, 16)), name, "[8, 16]", "[16, 8]");
        refuse(Map::clear, "is missing; ", "...");
    }

    private void refuse(Consumer<Map<String, Tensor>> change, String... parts) throws IOException {
        try (MetaFlowMap source = SmallNetworks.transformer();
                MetaFlowMap target = FlowMapTransformer.zeros(SmallNetworks.config(), Device.CPU);
                TensorScope scope = TensorScope.open();
                SafetensorsFile file = SafetensorsFile.open(write(source, change))) {
            assertRefused(IOException.class, () -> NetworkFile.load(target, file, NetworkFile.PREFIX), parts);
            assertEquals(0, target.parameters().values().abs().max().item());
        }
    }

    @Test
    void whatLiesOutsideThePrefixIsLeftAlone() throws IOException {
        try (MetaFlowMap source = SmallNetworks.transformer();
                MetaFlowMap target = FlowMapTransformer.zeros(SmallNetworks.config(), Device.CPU);
                TensorScope scope = TensorScope.open();
                SafetensorsFile file =
                        SafetensorsFile.open(write(source, tensors -> tensors.put("other", Torch.zeros(2))))) {
            NetworkFile.load(target, file, NetworkFile.PREFIX);
            assertArrayEquals(
                    source.parameters().values().toFloatArray(),
                    target.parameters().values().toFloatArray());
        }
    }
}
