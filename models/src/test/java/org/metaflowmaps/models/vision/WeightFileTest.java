package org.metaflowmaps.models.vision;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.TensorFile;

/** Networks are found by their tensors' names; incomplete, unknown and ambiguous files are refused. */
class WeightFileTest {
    private static final String WEIGHTS = "weights/";
    private static final AutoencoderSettings SMALL = new AutoencoderSettings(4, 0.18215, 0, true);
    private static final ClipSettings CLIP = new ClipSettings(Activation.GELU, 3, 2, 2, 1e-5);

    @TempDir
    private Path folder;

    /** Loads a network of a file in float32. */
    interface Loader {
        Network load(Path file) throws IOException;
    }

    record Kind(String fixture, String unused, Loader loader) {
        @Override
        public String toString() {
            return fixture;
        }
    }

    static Stream<Kind> kinds() {
        return Stream.of(
                new Kind("vae", "", file -> AutoencoderKL.load(file, SMALL, DType.FLOAT32, Device.CPU)),
                new Kind("taesd", "", file -> TinyAutoencoder.load(file, DType.FLOAT32, Device.CPU)),
                new Kind("clip-hf-gelu", "", file -> Clip.load(file, CLIP, DType.FLOAT32, Device.CPU)),
                new Kind("clip-open-gelu", "", file -> Clip.load(file, CLIP, DType.FLOAT32, Device.CPU)),
                new Kind(
                        "imagereward",
                        "blip\\.(vision|text)_proj\\..*",
                        file -> ImageReward.load(file, new ImageReward.Heads(3, 2), DType.FLOAT32, Device.CPU)),
                new Kind("aesthetic", "clip\\..*", file -> AestheticHead.load(file, DType.FLOAT32, Device.CPU)),
                new Kind("inception", "", file -> FidInception.load(file, DType.FLOAT32, Device.CPU)));
    }

    /** Writes the weights of a fixture whose names match, with a prefix. */
    private Path write(String fixture, String prefix, Predicate<String> names) throws IOException {
        Path target = folder.resolve("copy.safetensors");
        try (TensorFile file = TensorFile.open(ReferenceValuesTest.file(fixture + ".safetensors"));
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            for (String name : file.entries().keySet()) {
                if (name.startsWith(WEIGHTS) && names.test(name.substring(WEIGHTS.length()))) {
                    tensors.put(prefix + name.substring(WEIGHTS.length()), file.view(name));
                }
            }
            Safetensors.write(target, Map.of(), tensors);
        }
        return target;
    }

    private static List<String> weights(String fixture) throws IOException {
        try (TensorFile file = TensorFile.open(ReferenceValuesTest.file(fixture + ".safetensors"))) {
            return file.entries().keySet().stream()
                    .filter(name -> name.startsWith(WEIGHTS))
                    .map(name -> name.substring(WEIGHTS.length()))
                    .toList();
        }
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void anyPrefixIsFoundAndEveryTensorIsNeeded(Kind kind) throws IOException {
        long before = NativeMemory.liveTensors();
        try (Network network = kind.loader().load(write(kind.fixture(), "state_dict.module.", name -> true))) {
            assertTrue(network.parameters().isFrozen());
        }
        List<String> needed = weights(kind.fixture()).stream()
                .filter(name -> !name.matches(kind.unused()))
                .toList();
        // Writing each file takes milliseconds, so try some of the names.
        for (int i = 0; i < needed.size(); i += 1 + needed.size() / 10) {
            String lost = needed.get(i);
            Path file = write(kind.fixture(), "", name -> !name.equals(lost));
            String message = String.valueOf(assertThrows(
                            IOException.class, () -> kind.loader().load(file).close())
                    .getMessage());
            assertTrue(message.contains(lost), message);
            assertTrue(message.contains(file.toString()), message);
        }
        assertEquals(before, NativeMemory.liveTensors(), "live tensors");
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void otherFilesAreRefused(Kind kind) throws IOException {
        String other = kind.fixture().equals("vae") ? "inception" : "vae";
        Path file = write(other, "", name -> true);
        String message = String.valueOf(
                assertThrows(IOException.class, () -> kind.loader().load(file).close())
                        .getMessage());
        assertTrue(message.contains("the file holds no "), message);
    }

    @Test
    void wrongShapesAreListed() throws IOException {
        Path target = folder.resolve("copy.safetensors");
        try (TensorFile file = TensorFile.open(ReferenceValuesTest.file("clip-hf-gelu.safetensors"));
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            file.entries().keySet().stream()
                    .filter(name -> name.startsWith(WEIGHTS))
                    .forEach(name -> tensors.put(name.substring(WEIGHTS.length()), file.view(name)));
            tensors.put("text_projection.weight", Torch.zeros(20, 17));
            tensors.put("vision_model.encoder.layers.0.self_attn.k_proj.bias", Torch.zeros(7));
            Safetensors.write(target, Map.of(), tensors);
        }
        String message =
                String.valueOf(assertThrows(IOException.class, () -> Clip.load(target, CLIP, DType.FLOAT32, Device.CPU))
                        .getMessage());
        assertTrue(message.contains("in 2 places"), message);
        assertTrue(message.contains("text_projection.weight] has shape [20, 17], expected [20, 16]"), message);
        assertTrue(message.contains("k_proj.bias"), message);
    }

    @Test
    void twoNetworksOfOneFileAreNotGuessedBetween() throws IOException {
        Path target = folder.resolve("copy.safetensors");
        try (TensorFile file = TensorFile.open(ReferenceValuesTest.file("vae.safetensors"));
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            file.entries().keySet().stream()
                    .filter(name -> name.startsWith(WEIGHTS))
                    .forEach(name -> {
                        tensors.put("a." + name.substring(WEIGHTS.length()), file.view(name));
                        tensors.put("b." + name.substring(WEIGHTS.length()), file.view(name));
                    });
            Safetensors.write(target, Map.of(), tensors);
        }
        String message = String.valueOf(
                assertThrows(IOException.class, () -> AutoencoderKL.load(target, SMALL, DType.FLOAT32, Device.CPU))
                        .getMessage());
        assertTrue(message.contains("['a.', 'b.']"), message);
    }

    @Test
    void settingsThatDoNotFitAreRefused() throws IOException {
        Path vae = write("vae", "", name -> true);
        String message = String.valueOf(assertThrows(
                        IOException.class,
                        () -> AutoencoderKL.load(vae, AutoencoderSettings.STABLE_DIFFUSION, DType.FLOAT32, Device.CPU))
                .getMessage());
        assertTrue(message.contains("32 groups do not divide"), message);
        Path clip = write("clip-hf-gelu", "", name -> true);
        assertTrue(String.valueOf(assertThrows(
                                IOException.class,
                                () -> Clip.load(clip, ClipSettings.VIT_H_14, DType.FLOAT32, Device.CPU))
                        .getMessage())
                .contains("16 heads do not divide"));
        assertTrue(String.valueOf(assertThrows(IOException.class, () -> Clip.load(clip, Device.CPU))
                        .getMessage())
                .contains("no config.json"));
    }

    @Test
    void aConfigurationBesideTheFileIsRead() throws IOException {
        Path file = write("vae", "", name -> true);
        Files.copy(ReferenceValuesTest.file("vae-config.json"), folder.resolve("config.json"));
        try (AutoencoderKL network = AutoencoderKL.load(file, Device.CPU)) {
            assertEquals(SMALL, network.settings());
            assertEquals(8, network.factor());
            assertEquals(4, network.latentChannels());
        }
        Files.writeString(folder.resolve("config.json"), "{\"act_fn\": \"relu\"}");
        assertTrue(String.valueOf(assertThrows(IOException.class, () -> AutoencoderKL.load(file, Device.CPU))
                        .getMessage())
                .contains("act_fn is relu"));
    }

    /** The tower of a whole network, and that of the aesthetic predictor's file, whose names have a prefix. */
    @Test
    void theImageTowerIsThatOfTheWholeNetwork() throws IOException {
        try (TensorScope scope = TensorScope.open();
                TensorFile aesthetic = TensorFile.open(ReferenceValuesTest.file("aesthetic.safetensors"));
                TensorFile file = TensorFile.open(ReferenceValuesTest.file("clip-hf-gelu.safetensors"));
                Clip whole = Clip.read(file, CLIP, DType.FLOAT32, Device.CPU);
                ClipImageTower tower = ClipImageTower.read(file, CLIP, DType.FLOAT32, Device.CPU);
                ClipImageTower bundled = ClipImageTower.read(aesthetic, CLIP, DType.FLOAT32, Device.CPU);
                AestheticHead head = AestheticHead.read(aesthetic, DType.FLOAT32, Device.CPU)) {
            Tensor pixels = file.view("case/image/in/pixel_values");
            assertArrayEquals(
                    whole.imageFeatures(pixels).toFloatArray(),
                    tower.features(pixels).toFloatArray());
            assertEquals(21, bundled.imageSide());
            assertEquals(
                    List.of(2L),
                    head.score(bundled.features(pixels)).shape().sizes().asList());
        }
    }
}
