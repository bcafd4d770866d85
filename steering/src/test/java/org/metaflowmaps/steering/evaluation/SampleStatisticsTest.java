package org.metaflowmaps.steering.evaluation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.bytedeco.pytorch.JitModule;
import org.bytedeco.pytorch.QualifiedName;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.metric.ClassHistogram;
import org.metaflowmaps.steering.metric.Estimate;
import org.metaflowmaps.steering.metric.GaussianStatistics;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.LabelledImages;

/** Statistics of real images, and of features of a module. */
final class SampleStatisticsTest {
    @TempDir
    private Path folder;

    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void realImagesAreNearOtherRealImagesAndTheJudgeKnowsTheirClasses() {
        LabelledImages images = FashionMnist.test();
        try (FashionClassifier classifier = FashionClassifier.shipped(Device.CPU);
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2)) {
            SampleStatistics first = statistics(classifier);
            first.add(images, 0, 600, Device.CPU);
            SampleStatistics second = statistics(classifier);
            second.add(images, 600, 1200, Device.CPU);
            SampleStatistics noise = statistics(classifier);
            noise.add(random.uniform(600, 1, 28, 28), Optional.empty());
            Estimate near = first.frechet(second.gaussian());
            Estimate far = noise.frechet(second.gaussian());
            assertTrue(far.value() > 5 * near.value(), near + " " + far);
            assertTrue(near.standardError() > 0 && near.standardError() < near.value(), near.toString());
            assertEquals(0, first.frechet(first.gaussian()).value(), 1e-3);
            assertEquals(600, first.count());
            ClassHistogram histogram = first.histogram().orElseThrow();
            assertTrue(
                    histogram
                                    .distance(new double[] {1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
                                    .value()
                            < 0.1,
                    "about a tenth in each class");
            assertTrue(first.agreement().orElseThrow().value() > 0.8);
            assertTrue(noise.agreement().isEmpty());
            assertEquals(600, first.diversity().mean().count());
        }
    }

    private static SampleStatistics statistics(FashionClassifier classifier) {
        return new SampleStatistics(ImageFeatures.of(classifier), Optional.of(classifier), 10);
    }

    private Path module(String forward) {
        Path file = folder.resolve("module.pt");
        try (TensorScope scope = TensorScope.open()) {
            Torch.zeros(1).close(); // loads libtorch
            try (QualifiedName name = new QualifiedName("Module");
                    JitModule module = new JitModule(name)) {
                module.define("def forward(self, x):\n  return " + forward + "\n");
                module.save(file.toString());
            }
        }
        return file;
    }

    @Test
    void featuresOfAModuleAreOfImagesRoundedToLevels() throws IOException {
        for (String forward : new String[] {"x.flatten(1)", "x.flatten(1)[:, :, None, None]"}) {
            try (TorchScriptFeatures features = TorchScriptFeatures.load(module(forward), Device.CPU);
                    TensorScope scope = TensorScope.open()) {
                SampleStatistics statistics = new SampleStatistics(features, Optional.empty(), 1);
                Tensor images = Torch.of(new float[] {-0.3f, 0.1f, 0.5019f, 1.7f}, 4, 1, 1, 1);
                statistics.add(images, Optional.empty());
                assertEquals((26 + 128 + 255) / 255.0 / 4, statistics.gaussian().mean()[0], 1e-7);
                assertTrue(statistics.histogram().isEmpty());
                assertEquals(4, statistics.diversity().of(0).count());
            }
        }
        try (TorchScriptFeatures features = TorchScriptFeatures.load(module("x.flatten(1)"), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            // Ten levels in turn, like labels in turn: groups that repeat with them would have a large error.
            SampleStatistics statistics = new SampleStatistics(features, Optional.empty(), 1);
            Tensor levels = Torch.linspace(0, 0.9, 10).repeat(50).reshape(500, 1, 1, 1);
            statistics.add(levels, Optional.empty());
            Estimate distance = statistics.frechet(new GaussianStatistics(new double[] {-1}, new double[] {0.1}));
            // The mean's part is (1.45)², with a standard error of 2·1.45·0.29/√500.
            assertEquals(2.1, distance.value(), 0.1);
            assertEquals(0.038, distance.standardError(), 0.025);
        }
        try (TorchScriptFeatures features = TorchScriptFeatures.load(module("x.sum()"), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            SampleStatistics statistics = new SampleStatistics(features, Optional.empty(), 1);
            assertThrows(
                    IllegalArgumentException.class, () -> statistics.add(Torch.zeros(2, 1, 2, 2), Optional.empty()));
            assertThrows(IllegalStateException.class, statistics::gaussian);
            assertThrows(IllegalStateException.class, statistics::diversity);
        }
    }
}
