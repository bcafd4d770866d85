package org.metaflowmaps.models.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.checkpoint.CheckpointLayout.Family;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.OutgoingTensor;
import org.metaflowmaps.runtime.file.TensorFile;
import tools.jackson.databind.json.JsonMapper;

/** Networks of files with settings, and of public files, from their tensors and given settings. */
final class LoadedNetworkTest {
    @TempDir
    private Path folder;

    private long live;

    @BeforeEach
    void look() {
        live = NativeMemory.liveTensors();
    }

    @AfterEach
    void nothingIsLeft() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static Path example(String name) throws Exception {
        return Path.of(Objects.requireNonNull(LoadedNetworkTest.class.getResource("networks/expected.tsv"))
                        .toURI())
                .resolveSibling(name);
    }

    private Path write(
            String name, FlowMapTransformer network, String prefix, Map<String, String> metadata, String... more)
            throws IOException {
        Path file = folder.resolve(name);
        try (TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            NetworkFile.tensors(network, network.parameters().values())
                    .forEach((title, tensor) ->
                            tensors.put(prefix + title.substring(NetworkFile.PREFIX.length()), tensor));
            for (String title : more) {
                tensors.put(prefix + title, Torch.zeros(2));
            }
            TensorFile.write(
                    file,
                    metadata,
                    tensors.entrySet().stream()
                            .map(entry -> new OutgoingTensor.Deferred(
                                    entry.getKey(),
                                    entry.getValue().dtype(),
                                    entry.getValue().shape(),
                                    entry::getValue))
                            .toList());
        }
        return file;
    }

    /** Different start and end times, so that stages and the direction of time matter, with labels and a context. */
    private static float[] values(MetaFlowMap map) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(3)) {
            Context context = SmallNetworks.context(map, random);
            Tensor start = context.time().mul(0.5);
            return map.averageVelocity(start, start.add(0.4), SmallNetworks.items(map, random), context)
                    .toFloatArray();
        }
    }

    /** A loaded network of every family computes the same as a network built by hand with the same weights. */
    @ParameterizedTest
    @CsvSource({"plain.pt, model.", "plain.safetensors, ''"})
    void aPublicFileComputesWhatItsNetworkDid(String name, String prefix) throws IOException {
        TransformerConfig config = SmallNetworks.config();
        NetworkSettings both =
                NetworkSettings.none().numHeads(config.numHeads()).encoderDepth(config.encoderDepth());
        try (FlowMapTransformer source = SmallNetworks.transformer(config);
                LoadedNetwork read = Networks.open(
                        write(name, source, prefix, Map.of()),
                        both.zeroData(config.zeroData()).guidanceScales(config.classScales(), config.contextScales()),
                        Device.CPU)) {
            assertEquals(Family.MFM, read.layout().family());
            assertFalse(read.described());
            assertTrue(
                    read.found().contains("MFM") && read.found().contains(config.numHeads() + " heads"), read.found());
            assertArrayEquals(values(source), values(read.map()));
        }
        TransformerConfig flow = config.withoutContext();
        try (FlowMapTransformer source = SmallNetworks.transformer(flow);
                LoadedNetwork sit =
                        Networks.open(write(name, source, prefix, Map.of()), both.zeroData(false), Device.CPU);
                LoadedNetwork turned = Networks.open(folder.resolve(name), both.zeroData(true), Device.CPU)) {
            assertEquals(Family.SIT, sit.layout().family());
            assertArrayEquals(values(source), values(sit.map()));
            assertFalse(Arrays.equals(values(source), values(turned.map())), "the clock matters");
        }
        try (FlowMapTransformer source = SmallNetworks.transformer(
                SmallNetworks.config(SmallNetworks.Option.ZERO_DATA).withoutContext())) {
            Path file = write(name, source, prefix, Map.of(), "logvar_linear.weight");
            try (LoadedNetwork dmf = Networks.open(
                            file, NetworkSettings.none().numHeads(2).encoderDepth(2), Device.CPU);
                    LoadedNetwork other = Networks.open(
                            file, NetworkSettings.none().numHeads(2).encoderDepth(1), Device.CPU)) {
                assertEquals(Family.DMF, dmf.layout().family());
                assertArrayEquals(values(source), values(dmf.map()));
                assertFalse(Arrays.equals(values(source), values(other.map())), "the stages matter");
            }
        }
    }

    /** Files of torch.save, Lightning and Accelerate, and shards. */
    @ParameterizedTest
    @ValueSource(
            strings = {"plain_sit.pt", "accelerate_sharded", "accelerate_single.safetensors", "legacy.pt", "ddp_sit.pt"
            })
    void publicSiTFilesOpen(String name) throws Exception {
        Path file = example(name);
        assertThrows(MissingSettingsException.class, () -> Networks.load(file, Device.CPU));
        try (LoadedNetwork one = Networks.open(
                        file, NetworkSettings.parse("{\"num_heads\": 2, \"is_zero_data\": false}"), Device.CPU);
                LoadedNetwork two = Networks.open(
                        example("plain_sit.pt"),
                        NetworkSettings.none().numHeads(2).zeroData(false),
                        Device.CPU)) {
            assertEquals(Family.SIT, one.layout().family());
            assertArrayEquals(values(two.map()), values(one.map()));
        }
    }

    @Test
    void whatIsMissingIsNamed() throws Exception {
        MissingSettingsException refused =
                assertThrows(MissingSettingsException.class, () -> Networks.load(example("plain_sit.pt"), Device.CPU));
        assertEquals(List.of("num_heads", "is_zero_data"), refused.keys());
        assertRefused(
                MissingSettingsException.class,
                () -> Networks.load(example("plain_sit.pt"), Device.CPU),
                "plain_sit.pt",
                "does not show 2 settings of its SiT network",
                "num_heads (attention heads",
                "is_zero_data (true for data at time 0");
        assertRefused(
                MissingSettingsException.class,
                () -> Networks.check(
                        example("dmf_flat.pt"), NetworkSettings.none().numHeads(1)),
                "does not show a setting of its DMF network",
                "encoder_depth (blocks of the first stage");
        MissingSettingsException meta = assertThrows(
                MissingSettingsException.class,
                () -> Networks.check(example("plain_mfm_bf16.pt"), NetworkSettings.none()));
        assertTrue(
                meta.keys().containsAll(List.of("is_zero_data", "encoder_depth", "model_guidance_class_ws")),
                meta.keys().toString());
    }

    @Test
    void aSettingThatTheFileContradictsIsRefused() throws Exception {
        Path sit = example("plain_sit.pt");
        NetworkSettings enough = NetworkSettings.none().numHeads(2).zeroData(false);
        assertRefused(
                IllegalArgumentException.class,
                () -> Networks.check(sit, NetworkSettings.parse("{\"depth\": 9}")),
                "plain_sit.pt",
                "setting 'depth' is 9, but the file's tensors show 1");
        assertRefused(IllegalArgumentException.class, () -> Networks.check(sit, enough.numHeads(3)), "num_heads 3");
        assertRefused(
                IllegalArgumentException.class,
                () -> Networks.check(example("dmf_flat.pt"), enough),
                "is_zero_data",
                "show true");
        NetworkSettings meta = enough.encoderDepth(1);
        assertRefused(
                IllegalArgumentException.class,
                () -> Networks.check(
                        example("plain_mfm_bf16.pt"), meta.guidanceScales(List.of(2.0, 3.0, 4.0, 5.0), List.of())),
                "make a guidance table of 5 rows, but the file's has");
        Networks.check(
                sit,
                NetworkSettings.parse(
                        "{\"depth\": 1, \"num_heads\": 2, \"is_zero_data\": false, \"label_dim\": null}"));
        assertRefused(
                IllegalArgumentException.class,
                () -> NetworkSettings.parse("{\"heads\": 2}"),
                "unknown setting 'heads'",
                "num_heads");
        assertRefused(
                IllegalArgumentException.class,
                () -> NetworkSettings.parse("{\"num_heads\": true}"),
                "expected a whole number");
        assertRefused(
                IllegalArgumentException.class,
                () -> NetworkSettings.parse("{\"model_guidance_class_ws\": 2.5}"),
                "expected a list");
    }

    /** A run's file needs no settings, and rejects different ones. */
    @Test
    void aFileThatSaysItsNetworkNeedsNothing() throws IOException {
        TransformerConfig config = SmallNetworks.config();
        String own = JsonMapper.builder().build().writeValueAsString(ModelConfig.of(config));
        try (FlowMapTransformer source = SmallNetworks.transformer(config)) {
            Path file = write(
                    "own.safetensors", source, "dit.", Map.of("network", own, "class_names", "[\"a\",\"b\",\"c\"]"));
            try (LoadedNetwork read =
                            Networks.open(file, NetworkSettings.none().numHeads(config.numHeads()), Device.CPU);
                    MetaFlowMap same = Networks.load(file, Device.CPU)) {
                assertEquals(config, read.config());
                assertEquals(List.of("a", "b", "c"), read.classNames());
                assertTrue(read.described());
                assertArrayEquals(values(source), values(read.map()));
                assertArrayEquals(values(source), values(same));
            }
            assertRefused(
                    IllegalArgumentException.class,
                    () -> Networks.check(file, NetworkSettings.none().zeroData(!config.zeroData())),
                    "own.safetensors",
                    "setting 'is_zero_data' is " + !config.zeroData(),
                    "the file says");
        }
    }

    @Test
    void oneOfSeveralNetworksIsChosenByItsPrefix() throws IOException {
        try (FlowMapTransformer source =
                        SmallNetworks.transformer(SmallNetworks.config().withoutContext());
                TensorScope scope = TensorScope.open()) {
            Path one = write("one.pt", source, "student.", Map.of());
            Path both = folder.resolve("both.pt");
            try (TensorFile open = TensorFile.open(one)) {
                List<OutgoingTensor> tensors = new ArrayList<>();
                open.entries().values().forEach(entry -> {
                    tensors.add(new OutgoingTensor.Deferred(
                            entry.name(), entry.dtype(), entry.shape(), () -> open.view(entry.name())));
                    tensors.add(new OutgoingTensor.Deferred(
                            entry.name().replace("student", "teacher"),
                            entry.dtype(),
                            entry.shape(),
                            () -> open.view(entry.name()).mul(2)));
                });
                TensorFile.write(both, Map.of(), tensors);
            }
            NetworkSettings settings = NetworkSettings.none().numHeads(2).zeroData(false);
            assertRefused(
                    IOException.class,
                    () -> Networks.check(both, settings),
                    "[student., teacher.]",
                    "choose one by its prefix");
            assertRefused(
                    IOException.class,
                    () -> Networks.check(both, settings.prefix("pupil")),
                    "'pupil'",
                    "[student., teacher.]");
            try (LoadedNetwork chosen = Networks.open(both, settings.prefix("teacher"), Device.CPU)) {
                assertEquals("teacher.", chosen.layout().prefix());
                assertArrayEquals(
                        source.parameters()
                                .get("final_layer.linear.bias")
                                .mul(2)
                                .toFloatArray(),
                        chosen.map().parameters().get("final_layer.linear.bias").toFloatArray());
            }
        }
    }
}
