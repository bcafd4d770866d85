package org.metaflowmaps.steering.evaluation;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import java.util.Optional;
import org.bytedeco.pytorch.JitModule;
import org.bytedeco.pytorch.QualifiedName;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.vision.InceptionInput;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.steering.metric.FeatureMoments;
import org.metaflowmaps.steering.metric.FrechetDistance;

/** Features of a small Inception network with reference values, of a module like NVIDIA's, and their sums. */
final class InceptionFeaturesTest {
    private final long live = NativeMemory.liveTensors();

    @TempDir
    private Path folder = Path.of("");

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private Path copy(String name) throws IOException {
        try (InputStream in = InceptionFeaturesTest.class.getResourceAsStream("/vision/" + name)) {
            return Files.write(
                    folder.resolve(name), Objects.requireNonNull(in, name).readAllBytes());
        }
    }

    /** torch-fidelity's features of the same images; the tensor of channels-last order detects another layout. */
    @Test
    void featuresAreThoseOfPublicEvaluators() throws IOException {
        Path file = copy("inception.safetensors");
        try (SafetensorsFile reference = SafetensorsFile.open(file);
                InceptionFeatures network =
                        InceptionFeatures.load(copy("inception-legacy.pth"), InceptionInput.TENSORFLOW, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            Tensor images = reference.view("case/tensorflow/in/images");
            assertEquals(DType.UINT8, images.dtype());
            InceptionFeatures.Found found = network.of(images);
            assertTrue(network.isSpatial());
            close(reference.view("case/tensorflow/out/pool3"), found.pool());
            close(reference.view("case/tensorflow/out/sfid"), found.spatial().orElseThrow());
            close(reference.view("case/tensorflow/out/logits_unbiased"), found.logits());
            assertThrows(IllegalArgumentException.class, () -> network.of(images.to(DType.FLOAT32)));
            assertThrows(IllegalArgumentException.class, () -> network.of(images.narrow(1, 0, 1)));
        }
    }

    private static void close(Tensor expected, Tensor found) {
        double scale = expected.abs().max().item();
        assertEquals(0, found.to(DType.FLOAT64).sub(expected).abs().max().item() / scale, 1e-5, expected::toString);
    }

    /** The module's features are the mean of each channel of what it got, minus 128, over 128. */
    private Path module() {
        Path file = folder.resolve("module.pt");
        Torch.zeros(1).close(); // loads libtorch
        try (QualifiedName name = new QualifiedName("Module");
                JitModule module = new JitModule(name)) {
            module.define("""
                def forward(self, img, return_features: bool = False, use_fp16: bool = False,
                            no_output_bias: bool = False):
                  features = (img.float().mean([2, 3]) - 128) / 128
                  if return_features:
                    return features
                  if no_output_bias:
                    return features.softmax(1)
                  return (features + 5 * torch.arange(3)).softmax(1)
                """);
            module.save(file.toString());
        }
        return file;
    }

    @Test
    void aTorchScriptFileGetsEachPresetsImages() throws IOException {
        Path file;
        try (TensorScope scope = TensorScope.open()) {
            file = module();
        }
        for (InceptionInput input : InceptionInput.values()) {
            try (InceptionFeatures network = InceptionFeatures.load(file, input, Device.CPU);
                    RandomSource random = RandomSource.seeded(1);
                    TensorScope scope = TensorScope.open()) {
                Tensor images = random.uniform(2, 3, 40, 50).mul(255.99).to(DType.UINT8);
                InceptionFeatures.Found found = network.of(images);
                assertFalse(network.isSpatial());
                assertEquals(Optional.empty(), found.spatial());
                // TensorFlow's resizing is the module's own task, which this module does not do.
                Tensor expected = input == InceptionInput.TENSORFLOW
                        ? images.to(DType.FLOAT32).sub(128).div(128).mean(2, 3)
                        : input.prepare(images, DType.FLOAT32).mean(2, 3);
                assertArrayEquals(expected.toFloatArray(), found.pool().toFloatArray(), 1e-5f);
                assertArrayEquals(
                        expected.softmax(1).toFloatArray(),
                        found.logits().softmax(1).toFloatArray(),
                        1e-5f);
            }
        }
    }

    @Test
    void filesWithoutANetworkAreRefused() throws IOException {
        Path text = Files.writeString(folder.resolve("text.pth"), "no network");
        for (Path file : new Path[] {text, folder.resolve("missing.pth")}) {
            String message = String.valueOf(assertThrows(
                            IOException.class,
                            () -> InceptionFeatures.load(file, InceptionInput.TENSORFLOW, Device.CPU))
                    .getMessage());
            assertTrue(message.contains(String.valueOf(file.getFileName())), message);
        }
    }

    private static InceptionFeatures.Found found(Tensor pool) {
        return new InceptionFeatures.Found(
                pool, Optional.of(pool.narrow(1, 0, 2).mul(2)), pool.mul(3));
    }

    @Test
    void sumsDoNotDependOnParts() {
        try (RandomSource random = RandomSource.seeded(2);
                TensorScope scope = TensorScope.open();
                FeatureSet whole = new FeatureSet(50, 1, true);
                FeatureSet parts = new FeatureSet(50, 5, true)) {
            Tensor pool = random.normal(50, 4);
            whole.add(found(pool));
            parts.add(found(pool.narrow(0, 0, 1)));
            parts.add(found(pool.narrow(0, 1, 30)));
            parts.add(found(pool.narrow(0, 31, 19)));
            FeatureMoments moments = new FeatureMoments(4);
            moments.add(pool);
            for (FeatureSet set : new FeatureSet[] {whole, parts}) {
                assertEquals(50, set.count());
                assertEquals(4, set.width());
                assertArrayEquals(pool.toFloatArray(), set.vectors().toFloatArray());
                assertArrayEquals(moments.covariance(), set.pool().covariance(), 1e-12);
                assertEquals(0, FrechetDistance.between(set.pool(), moments.statistics()), 1e-9);
                assertEquals(
                        4 * moments.covariance()[1], set.spatial().orElseThrow().covariance()[1], 1e-6);
                assertEquals(
                        0, set.spatialFrechet(whole.spatial().orElseThrow()).value(), 1e-9);
                assertEquals(50, set.score().count());
            }
            assertTrue(Double.isNaN(whole.frechet(moments.statistics()).standardError()));
            assertTrue(parts.frechet(moments.statistics()).standardError() > 0);
            assertThrows(IllegalArgumentException.class, () -> parts.add(found(pool.narrow(0, 0, 1))), "full");
        }
    }

    /** The jackknife's standard error is the spread over independent sets. */
    @Test
    void standardErrorsAreTheSpreadOfDistances() {
        try (RandomSource random = RandomSource.seeded(3);
                TensorScope scope = TensorScope.open()) {
            FeatureMoments real = new FeatureMoments(3);
            real.add(random.normal(20_000, 3).mul(1.2));
            double[] distances = new double[200];
            double stated = 0;
            for (int i = 0; i < distances.length; i++) {
                try (FeatureSet set = new FeatureSet(500, 10, false)) {
                    set.add(found(random.normal(500, 3)));
                    distances[i] = set.frechet(real.statistics()).value();
                    stated += set.frechet(real.statistics()).standardError() / distances.length;
                }
            }
            double mean = Arrays.stream(distances).average().orElseThrow();
            double spread = Math.sqrt(Arrays.stream(distances)
                            .map(distance -> (distance - mean) * (distance - mean))
                            .sum()
                    / (distances.length - 1));
            assertEquals(1, stated / spread, 0.2);
        }
    }

    @Test
    void setsThatAreNotWholeAreRefused() {
        try (TensorScope scope = TensorScope.open();
                FeatureSet set = new FeatureSet(9, 1, false)) {
            assertThrows(IllegalStateException.class, set::pool);
            assertThrows(IllegalStateException.class, set::spatial);
            assertEquals(0, set.width());
            Tensor pool = Torch.zeros(2, 3);
            set.add(new InceptionFeatures.Found(pool, Optional.empty(), pool));
            assertEquals(Optional.empty(), set.spatial());
            assertThrows(IllegalStateException.class, set::vectors);
            assertThrows(IllegalStateException.class, () -> set.spatialFrechet(set.pool()));
            assertThrows(IllegalArgumentException.class, () -> set.add(found(pool)));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> set.add(new InceptionFeatures.Found(Torch.zeros(2, 4), Optional.empty(), pool)));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> set.add(new InceptionFeatures.Found(pool.log(), Optional.empty(), pool)));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> new InceptionFeatures.Found(pool, Optional.empty(), Torch.zeros(3, 3)));
            assertThrows(IllegalArgumentException.class, () -> new FeatureSet(0, 1, false));
            assertThrows(IllegalArgumentException.class, () -> new FeatureSet(1, 0, false));
        }
    }
}
