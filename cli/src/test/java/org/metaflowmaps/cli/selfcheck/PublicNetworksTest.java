package org.metaflowmaps.cli.selfcheck;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.cli.option.Resource;
import org.metaflowmaps.models.checkpoint.LoadedNetwork;
import org.metaflowmaps.models.checkpoint.NetworkSettings;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.OutgoingTensor;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.runtime.file.TensorFile;

/** Public files without all settings, through the loader and through the commands. */
final class PublicNetworksTest {
    @TempDir
    private Path folder;

    private Path reference;

    @BeforeEach
    void copy() throws IOException {
        reference = Resource.copy("parity/tiny.safetensors");
    }

    /** Writes the meta flow map of a file of reference values like a public file. */
    private Path network(String name) throws IOException {
        Path file = folder.resolve(name);
        String prefix = "weights/dit.";
        try (TensorFile open = TensorFile.open(reference)) {
            TensorFile.write(
                    file,
                    Map.of(),
                    open.entries().values().stream()
                            .filter(entry -> entry.name().startsWith(prefix))
                            .map(entry -> new OutgoingTensor.Deferred(
                                    "model.dit." + entry.name().substring(prefix.length()),
                                    entry.dtype(),
                                    entry.shape(),
                                    () -> open.view(entry.name())))
                            .toList());
        }
        return file;
    }

    private static NetworkSettings settings(TransformerConfig config) {
        return NetworkSettings.none()
                .numHeads(config.numHeads())
                .zeroData(config.zeroData())
                .encoderDepth(config.encoderDepth())
                .guidanceScales(config.classScales(), config.contextScales())
                .preserveContextAtZero(config.preserveContextAtZero());
    }

    /** Compares with values made independently of this project. */
    @ParameterizedTest
    @ValueSource(strings = {"tiny", "tiny-qknorm", "tiny-joint"})
    void theLoadersNetworkComputesTheReferencesValues(String name) throws IOException {
        Path file = Resource.copy("parity/" + name + ".safetensors");
        try (Fixture fixture = Fixture.open(file, Device.CPU, DType.FLOAT32);
                TensorScope scope = TensorScope.open()) {
            Fixture.Case test = fixture.of("average_velocity");
            TransformerConfig config = fixture.network("weights").config();
            try (LoadedNetwork loaded = Networks.open(file, settings(config).prefix("weights/dit."), Device.CPU)) {
                double[] found = loaded.map()
                        .averageVelocity(
                                test.in("s"),
                                test.in("u"),
                                test.in("x"),
                                new Context(
                                        test.in("t"),
                                        test.in("x_t"),
                                        Condition.labelled(test.in("labels")).guided(test.in("guidance"))))
                        .toDoubleArray();
                double[] wanted = test.out("v").toDoubleArray();
                for (int i = 0; i < wanted.length; i++) {
                    assertEquals(wanted[i], found[i], 1e-5 * Math.max(1, Math.abs(wanted[i])), "number " + i);
                }
            }
        }
    }

    @Test
    void commandsNameTheSettingsAndHowToGiveThem() throws IOException {
        String file = network("map.pt").toString();
        mfm("sample", file, "--out", folder.resolve("x.safetensors").toString())
                .failed(
                        "map.pt",
                        "num_heads (attention heads",
                        "is_zero_data (",
                        "encoder_depth (",
                        "model_guidance_class_ws (",
                        "--set num_heads=VALUE",
                        "--model FILE");
        mfm("posterior", file, "--set", "num_heads=2", "--set", "nonsense").failed("--set nonsense", "KEY=VALUE");
        mfm("posterior", file, "--set", "heads=2").failed("--set", "unknown setting 'heads'");
        mfm("sample", "--pretrained", "--set", "num_heads=2").failed("--pretrained", "--set");
        mfm("sample", "--pretrained", "--solver", "heun").failed("--solver heun is for --sampler ode", "refinement");
        mfm("evaluate", "drift", file, "--set", "num_heads=2").failed("encoder_depth");
        mfm("evaluate", "fashion-mnist", "--pretrained", "--teacher", file).failed("map.pt", "--teacher-model FILE");
        mfm("evaluate", "mixture", file).failed("map.pt", "num_heads");
    }

    @Test
    void samplesAndPosteriorsComeFromAPublicFile() throws IOException {
        Path model = Files.writeString(folder.resolve("model.yaml"), """
            model:
              transformer:
                input_size: null
                num_heads: 2
                is_zero_data: false
                encoder_depth: 2
                model_guidance_class_ws: [2.5]
            """);
        for (String name : List.of("map.pt", "map.safetensors")) {
            String file = network(name).toString();
            Path samples = folder.resolve("samples.safetensors");
            Command sampled = mfm(
                    "sample",
                    file,
                    "--model",
                    model.toString(),
                    "--set",
                    "is_zero_data=true",
                    "--count",
                    "2",
                    "--class",
                    "1,3",
                    "--out",
                    samples.toString());
            assertEquals(0, sampled.code(), sampled::toString);
            assertTrue(
                    sampled.err().contains(name + ": MFM, names under 'model.dit.': 32 wide")
                            && sampled.err().contains("time 0 is data"),
                    sampled.err());
            assertEquals(Shape.of(4, 4, 4, 4), shape(samples, "images"));
            Command heun = mfm(
                    "sample",
                    file,
                    "--model",
                    model.toString(),
                    "--set",
                    "is_zero_data=true",
                    "--sampler",
                    "ode",
                    "--solver",
                    "heun",
                    "--out",
                    samples.toString());
            assertEquals(0, heun.code(), heun::toString);
            Path draws = folder.resolve("draws.safetensors");
            Command drawn = mfm(
                    "posterior",
                    file,
                    "--model",
                    model.toString(),
                    "--set",
                    "is_zero_data=true",
                    "--draws",
                    "2",
                    "--time",
                    "0.5",
                    "--out",
                    draws.toString());
            assertEquals(0, drawn.code(), drawn::toString);
            assertEquals(Shape.of(4, 2, 4, 4, 4), shape(draws, "draws"));
            Command picture = mfm(
                    "sample",
                    file,
                    "--model",
                    model.toString(),
                    "--out",
                    folder.resolve("picture.png").toString());
            assertEquals(0, picture.code(), picture::toString);
        }
        try (Stream<Path> left = Files.list(folder)) {
            assertTrue(left.anyMatch(file -> file.endsWith("picture.png")));
        }
    }

    private static Shape shape(Path file, String tensor) throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            return Objects.requireNonNull(open.entries().get(tensor)).shape();
        }
    }
}
