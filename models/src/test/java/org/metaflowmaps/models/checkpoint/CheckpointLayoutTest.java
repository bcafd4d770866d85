package org.metaflowmaps.models.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.checkpoint.CheckpointConversion.Fitting;
import org.metaflowmaps.models.checkpoint.CheckpointConversion.Overflow;
import org.metaflowmaps.models.checkpoint.CheckpointLayout.Family;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MlpFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.OutgoingTensor;
import org.metaflowmaps.runtime.file.TensorFile;

/** Finds, compares, loads and converts SmallNetworks in files of every layout. */
final class CheckpointLayoutTest {
    /** Names that only a meta flow map has. */
    private static final List<String> META = List.of(
            "s_embedder.",
            "s_embedder_second.",
            "t_embedder_second.",
            "t_cond_embedder.",
            "x_cond_embedder.",
            "x_cond_adaLN.",
            "guidance_embedder.");

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

    private Path write(String name, Map<String, Tensor> tensors) throws IOException {
        Path file = folder.resolve(name);
        List<OutgoingTensor> outgoing = new ArrayList<>();
        tensors.forEach((title, tensor) ->
                outgoing.add(new OutgoingTensor.Deferred(title, tensor.dtype(), tensor.shape(), () -> tensor)));
        TensorFile.write(file, name.startsWith("bare") ? Map.of() : Map.of("network", "described"), outgoing);
        return file;
    }

    /** Returns a network's tensors under a prefix: those of a meta flow map, or those of SiT and DMF. */
    private static Map<String, Tensor> tensors(FlowMapTransformer network, boolean meta, String prefix) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        NetworkFile.tensors(network, network.parameters().values()).forEach((name, tensor) -> {
            String bare = name.substring(NetworkFile.PREFIX.length());
            if (meta || META.stream().noneMatch(bare::startsWith)) {
                tensors.put(prefix + bare, tensor);
            }
        });
        return tensors;
    }

    private void found(String expected, Map<String, Tensor> tensors) throws IOException {
        for (String name : List.of("found.pt", "found.safetensors")) {
            try (TensorFile file = TensorFile.open(write(name, tensors))) {
                CheckpointLayout layout = CheckpointLayout.detect(file).orElseThrow();
                assertEquals(expected, layout.toString());
                assertTrue(CheckpointConversion.fit(file, layout).isExact(), () -> expected);
            }
        }
    }

    @Test
    void everyLayoutIsFound() throws IOException {
        try (FlowMapTransformer network =
                        SmallNetworks.transformer(SmallNetworks.config(SmallNetworks.Option.QK_NORM));
                TensorScope scope = TensorScope.open()) {
            for (String prefix : List.of("model.", "dit.", "model.dit.", "module.", "_orig_mod.module.")) {
                found("MFM, names under '" + prefix + "'", tensors(network, true, prefix));
            }
            found("SiT, names without a prefix", tensors(network, false, ""));
            found("SiT, names under 'module.'", tensors(network, false, "module."));
            Map<String, Tensor> dmf = tensors(network, false, "model.");
            dmf.put("model.logvar_linear.weight", Torch.zeros(1, 8));
            found("DMF, names under 'model.'", dmf);
            Map<String, Tensor> training = tensors(network, false, "model.");
            training.putAll(tensors(network, false, "ema."));
            training.put("opt.state.0.exp_avg", Torch.zeros(3));
            found("SiT, names under 'ema.'", training);
            found("MFM, names under 'ema_model.module.'", tensors(network, true, "ema_model.module."));
        }
    }

    @Test
    void whatIsNoNetworkOrSeveralIsSaid() throws IOException {
        try (FlowMapTransformer network = SmallNetworks.transformer();
                MlpFlowMap other = SmallNetworks.mlp(SmallNetworks.mlpConfig(3, 12, 2, 0));
                TensorScope scope = TensorScope.open()) {
            try (TensorFile file = TensorFile.open(
                    write("none.pt", Map.of("a", Torch.zeros(1), "not_x_embedder.proj.weight", Torch.zeros(1))))) {
                assertEquals(Optional.empty(), CheckpointLayout.detect(file));
            }
            try (TensorFile file = TensorFile.open(write(
                    "mlp.pt", NetworkFile.tensors(other, other.parameters().values())))) {
                assertEquals(Optional.of(new CheckpointLayout(Family.OTHER, "dit.")), CheckpointLayout.detect(file));
            }
            Map<String, Tensor> two = tensors(network, true, "student.");
            two.putAll(tensors(network, true, "teacher."));
            try (TensorFile file = TensorFile.open(write("two.pt", two))) {
                assertRefused(IOException.class, () -> CheckpointLayout.detect(file), "student.", "teacher.");
                assertEquals(Family.MFM, CheckpointLayout.at(file, "teacher.").family());
            }
        }
    }

    /** Chooses among several copies by the names that different programs write. */
    @Test
    void theAveragedCopyIsFound() throws IOException {
        try (FlowMapTransformer network = SmallNetworks.transformer();
                TensorScope scope = TensorScope.open()) {
            for (String[] names : new String[][] {
                {"state_dict_ema.", "state_dict."},
                {"modelEMA.", "model."},
                {"ema_model.", "model."},
                {"state_dict.net.", "current_model_state.net."},
                {"ema.ema_model.", "ema.online_model."},
                {"EMA.", "cinema."},
                {"ema.", ""},
                {"state_dict.ema0.", "state_dict.model."},
                {"model.", "optimizer.exp_avg."},
                {"net.", "callbacks.x."}
            }) {
                Map<String, Tensor> both = tensors(network, false, names[1]);
                both.putAll(tensors(network, false, names[0]));
                found("SiT, names under '" + names[0] + "'", both);
            }
            Map<String, Tensor> counted = tensors(network, false, "model.");
            counted.putAll(tensors(network, false, "average.module."));
            counted.put("average.n_averaged", Torch.zeros(1).select(0, 0).to(DType.INT64));
            found("SiT, names under 'average.module.'", counted);
            Map<String, Tensor> averages = tensors(network, false, "ema_0.99.");
            averages.putAll(tensors(network, false, "ema_0.999."));
            averages.putAll(tensors(network, false, "model."));
            try (TensorFile file = TensorFile.open(write("averages.pt", averages))) {
                assertRefused(
                        IOException.class,
                        () -> CheckpointLayout.detect(file),
                        "2 averaged networks",
                        "[ema_0.99., ema_0.999.]",
                        "choose one by its prefix");
                CheckpointLayout chosen = CheckpointLayout.at(file, "ema_0.99.");
                assertTrue(CheckpointConversion.fit(file, chosen).isExact());
            }
        }
    }

    /** Module wrappers insert parts anywhere in a name; counters and optimiser state may be beside the tensors. */
    @Test
    void whatIsNotTheNetworksOwnIsPassedOver() throws IOException {
        try (FlowMapTransformer network = SmallNetworks.transformer();
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> wrapped = new LinkedHashMap<>();
            tensors(network, true, "")
                    .forEach((name, tensor) -> wrapped.put(
                            "_fsdp_wrapped_module."
                                    + name.replace("blocks.0.", "blocks.0._checkpoint_wrapped_module._orig_mod.")
                                            .replace("mlp.fc1", "mlp.module.fc1"),
                            tensor));
            found("MFM, names under '_fsdp_wrapped_module.'", wrapped);
            Map<String, Tensor> beside = tensors(network, false, "");
            beside.put("optimizer.state.0.exp_avg", Torch.zeros(3));
            beside.put("step", Torch.zeros(1).select(0, 0));
            found("SiT, names without a prefix", beside);
            beside.put("blocks.0._orig_mod.mlp.fc1.bias", Torch.zeros(16));
            try (TensorFile file = TensorFile.open(write("twice.pt", beside))) {
                assertEquals(
                        List.of("blocks.0._orig_mod.mlp.fc1.bias"),
                        CheckpointConversion.fit(file, CheckpointLayout.at(file, ""))
                                .unexpected());
            }
        }
    }

    @Test
    void shapesTellTheConfig() throws IOException {
        for (SmallNetworks.Option[] options : new SmallNetworks.Option[][] {
            {},
            {SmallNetworks.Option.LEARN_SIGMA},
            {SmallNetworks.Option.QK_NORM},
            {SmallNetworks.Option.JOINT, SmallNetworks.Option.QK_NORM},
            {SmallNetworks.Option.CONTEXT_SCALES}
        }) {
            TransformerConfig config = SmallNetworks.config(options);
            try (FlowMapTransformer network = SmallNetworks.transformer(config);
                    TensorScope scope = TensorScope.open();
                    TensorFile file = TensorFile.open(write("config.pt", whole(network)))) {
                InferredConfig found =
                        InferredConfig.of(file, CheckpointLayout.detect(file).orElseThrow());
                Set<SmallNetworks.Option> on = Set.of(options);
                assertEquals(
                        new InferredConfig(
                                Family.MFM,
                                4,
                                2,
                                2,
                                8,
                                3,
                                on.contains(SmallNetworks.Option.QK_NORM) ? OptionalInt.of(2) : OptionalInt.empty(),
                                3,
                                on.contains(SmallNetworks.Option.CONTEXT_SCALES) ? 6 : 2,
                                16,
                                on.contains(SmallNetworks.Option.LEARN_SIGMA),
                                on.contains(SmallNetworks.Option.QK_NORM),
                                on.contains(SmallNetworks.Option.JOINT)),
                        found);
                assertTrue(CheckpointConversion.fit(file, CheckpointLayout.at(file, "dit."))
                        .isExact());
            }
        }
    }

    /** Returns a network's tensors as in the public class, which embeds the context also under joint attention. */
    private static Map<String, Tensor> whole(FlowMapTransformer network) {
        Map<String, Tensor> tensors = tensors(network, true, "dit.");
        TransformerConfig config = network.config();
        int width = config.hiddenSize();
        tensors.putIfAbsent(
                "dit.x_cond_embedder.proj.weight",
                Torch.zeros(width, config.inChannels(), config.patchSize(), config.patchSize()));
        tensors.putIfAbsent("dit.x_cond_embedder.proj.bias", Torch.zeros(width));
        tensors.putIfAbsent("dit.x_cond_adaLN.1.weight", Torch.zeros(2L * width, width));
        tensors.putIfAbsent("dit.x_cond_adaLN.1.bias", Torch.zeros(2L * width));
        return tensors;
    }

    /** B/2 and XL/2 as published, from their shapes alone. */
    @Test
    void usualSizesHaveUsualHeadsAndStages() {
        InferredConfig base = new InferredConfig(
                Family.SIT, 32, 2, 4, 768, 12, OptionalInt.of(12), 1000, 0, 3072, true, false, false);
        assertEquals(OptionalInt.of(8), base.encoderDepth());
        assertEquals(Shape.of(32, 768), base.shapes().get("final_layer.linear.weight"));
        assertEquals(Shape.of(1, 256, 768), base.shapes().get("pos_embed"));
        InferredConfig large = new InferredConfig(
                Family.MFM, 32, 2, 4, 1152, 28, OptionalInt.of(16), 1000, 2, 4608, false, true, false);
        assertEquals(OptionalInt.of(20), large.encoderDepth());
        long parameters = large.shapes().entrySet().stream()
                .filter(shape -> !shape.getKey().equals("pos_embed"))
                .mapToLong(shape -> shape.getValue().numel())
                .sum();
        // The method states 684.0 million.
        assertEquals(684.0, Math.round(parameters / 1e5) / 10.0);
    }

    @Test
    void aNetworkIsFilledFromAnyPrefixAndType() throws IOException {
        try (FlowMapTransformer source = SmallNetworks.transformer();
                TensorScope scope = TensorScope.open()) {
            float[] expected = source.parameters().values().toFloatArray();
            for (DType type : List.of(DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT16)) {
                Map<String, Tensor> tensors = new LinkedHashMap<>();
                tensors(source, true, "model.dit.").forEach((name, tensor) -> tensors.put(name, tensor.to(type)));
                for (String name : List.of("typed.pt", "typed.safetensors")) {
                    try (FlowMapTransformer target = FlowMapTransformer.zeros(SmallNetworks.config(), Device.CPU);
                            TensorFile file = TensorFile.open(write(name, tensors))) {
                        NetworkFile.load(
                                target, file, CheckpointLayout.detect(file).orElseThrow());
                        float[] wanted = type == DType.FLOAT64
                                ? expected
                                : source.parameters()
                                        .values()
                                        .to(type)
                                        .to(DType.FLOAT32)
                                        .toFloatArray();
                        assertArrayEquals(wanted, target.parameters().values().toFloatArray());
                    }
                }
            }
        }
    }

    @Test
    void aLenientLoadTellsWhatItLeft() throws IOException {
        try (FlowMapTransformer source = SmallNetworks.transformer();
                FlowMapTransformer target = FlowMapTransformer.zeros(SmallNetworks.config(), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = tensors(source, true, "model.");
            tensors.remove("model.final_layer.linear.bias");
            tensors.put("model.blocks.1.mlp.fc1.bias", Torch.zeros(2));
            tensors.put("model.extra", Torch.zeros(2));
            tensors.put("model.logvar_linear.bias", Torch.zeros(2));
            try (TensorFile file = TensorFile.open(write("partly.pt", tensors))) {
                CheckpointLayout layout = CheckpointLayout.detect(file).orElseThrow();
                assertRefused(
                        IOException.class,
                        () -> NetworkFile.load(target, file, layout),
                        "3 places",
                        "model.final_layer.linear.bias is missing",
                        "model.extra is not part of the network",
                        "has shape [2], the network needs [16]");
                assertEquals(0, target.parameters().values().abs().max().item());
                Fit fit = NetworkFile.loadMatching(target, file, layout);
                assertEquals(
                        new Fit(
                                List.of("model.final_layer.linear.bias"),
                                List.of("model.extra"),
                                List.of("model.blocks.1.mlp.fc1.bias has shape [2], the network needs [16]")),
                        fit);
                assertArrayEquals(
                        source.parameters().get("final_layer.linear.weight").toFloatArray(),
                        target.parameters().get("final_layer.linear.weight").toFloatArray());
                assertEquals(
                        0,
                        target.parameters()
                                .get("final_layer.linear.bias")
                                .abs()
                                .max()
                                .item());
                assertEquals(
                        0,
                        target.parameters()
                                .get("blocks.1.mlp.fc1.bias")
                                .abs()
                                .max()
                                .item());
            }
            try (TensorFile file = TensorFile.open(write("nothing.pt", Map.of("model.extra", Torch.zeros(2))))) {
                assertRefused(
                        IOException.class,
                        () -> NetworkFile.loadMatching(target, file, CheckpointLayout.at(file, "model.")),
                        "missing");
            }
        }
    }

    private static Map<String, Tensor> read(TensorFile file, UnaryOperator<String> rename) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        file.entries().keySet().forEach(name -> tensors.put(rename.apply(name), file.view(name)));
        return tensors;
    }

    /** A conversion through both formats and back keeps every bit, also of NaNs with payloads. */
    @Test
    void conversionKeepsEveryBit() throws IOException {
        try (FlowMapTransformer network = SmallNetworks.transformer();
                TensorScope scope = TensorScope.open()) {
            network.parameters()
                    .get("final_layer.linear.bias")
                    .segment()
                    .setAtIndex(ValueLayout.JAVA_INT, 0, 0x7fc12345);
            Map<String, Tensor> tensors = tensors(network, true, "model.");
            tensors.put("model.logvar_linear.weight", Torch.zeros(2));
            tensors.put("train/values", Torch.zeros(5));
            Path start = write("start.safetensors", tensors);
            Path there = folder.resolve("there.pt");
            Path back = folder.resolve("back.safetensors");
            convert(start, there, "model.module.", Set.of("train/values", "model.logvar_linear.weight"));
            convert(there, back, "dit.", Set.of());
            try (TensorFile before = TensorFile.open(start);
                    TensorFile after = TensorFile.open(back)) {
                Map<String, Tensor> read = read(after, name -> name.replaceFirst("^dit\\.", "model."));
                assertEquals(Map.of("network", "described", "format", "pt"), after.metadata());
                assertEquals(before.entries().size() - 2, read.size());
                read.forEach((name, tensor) ->
                        assertEquals(-1, before.view(name).segment().mismatch(tensor.segment()), name));
            }
        }
    }

    private static void convert(Path from, Path to, String prefix, Set<String> left) throws IOException {
        try (TensorFile file = TensorFile.open(from)) {
            CheckpointLayout layout = CheckpointLayout.detect(file).orElseThrow();
            CheckpointConversion.Result result =
                    CheckpointConversion.convert(file, layout, to, prefix, null, Fitting.WHOLE, Overflow.REFUSE);
            assertEquals(left, Set.copyOf(result.left()));
            assertEquals(file.entries().size() - left.size(), result.tensors());
        }
    }

    @Test
    void conversionRefusesOrTellsWhatIsNotWhole() throws IOException {
        try (FlowMapTransformer network = SmallNetworks.transformer();
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = tensors(network, true, "dit.");
            tensors.remove("dit.blocks.2.mlp.fc2.bias");
            tensors.put("dit.surplus", Torch.zeros(1).to(DType.INT64));
            Path to = folder.resolve("to.safetensors");
            try (TensorFile file = TensorFile.open(write("from.pt", tensors))) {
                CheckpointLayout layout = CheckpointLayout.detect(file).orElseThrow();
                assertRefused(
                        IOException.class,
                        () -> CheckpointConversion.convert(file, layout, to, "", null, Fitting.WHOLE, Overflow.REFUSE),
                        "dit.blocks.2.mlp.fc2.bias is missing",
                        "dit.surplus is not part");
                CheckpointConversion.Result result = CheckpointConversion.convert(
                        file, layout, to, "", DType.BFLOAT16, Fitting.LENIENT, Overflow.REFUSE);
                assertEquals(
                        new Fit(List.of("dit.blocks.2.mlp.fc2.bias"), List.of("dit.surplus"), List.of()), result.fit());
            }
            try (TensorFile file = TensorFile.open(to)) {
                assertEquals(tensors.size(), file.entries().size());
                file.entries()
                        .forEach((name, entry) -> assertEquals(
                                name.equals("surplus") ? DType.INT64 : DType.BFLOAT16, entry.dtype(), name));
                assertArrayEquals(
                        Objects.requireNonNull(tensors.get("dit.pos_embed"))
                                .to(DType.BFLOAT16)
                                .toFloatArray(),
                        file.view("pos_embed").toFloatArray());
                assertRefused(
                        IllegalArgumentException.class,
                        () -> CheckpointConversion.convert(
                                file,
                                CheckpointLayout.at(file, ""),
                                to,
                                "",
                                DType.INT64,
                                Fitting.LENIENT,
                                Overflow.REFUSE),
                        "int64");
            }
        }
    }

    @Test
    void whatPublicFilesArePrefixedWith() throws IOException {
        try (FlowMapTransformer network = SmallNetworks.transformer();
                TensorScope scope = TensorScope.open();
                TensorFile bare = TensorFile.open(write("bare.pt", tensors(network, false, "module.")));
                TensorFile ours = TensorFile.open(write("ours.safetensors", tensors(network, false, "dit.")));
                TensorFile meta = TensorFile.open(write("meta.pt", tensors(network, true, "model.")))) {
            assertEquals("", CheckpointConversion.usualPrefix(bare, CheckpointLayout.at(bare, "module.")));
            assertEquals("dit.", CheckpointConversion.usualPrefix(ours, CheckpointLayout.at(ours, "dit.")));
            assertEquals("dit.", CheckpointConversion.usualPrefix(meta, CheckpointLayout.at(meta, "model.")));
            assertEquals("net.", CheckpointConversion.usualPrefix(meta, new CheckpointLayout(Family.OTHER, "net.")));
        }
    }
}
