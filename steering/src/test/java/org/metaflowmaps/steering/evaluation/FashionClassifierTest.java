package org.metaflowmaps.steering.evaluation;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;

final class FashionClassifierTest {
    private final long live = NativeMemory.liveTensors();

    @TempDir
    private Path folder;

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void theShippedWeightsReachWhatTheirMetadataSay() {
        LabelledImages test = FashionMnist.test();
        try (FashionClassifier classifier = FashionClassifier.shipped(Device.CPU)) {
            assertEquals("10000", classifier.metadata().get("test_images"));
            long correct = ClassifierTraining.correct(classifier, test, test.count(), Device.CPU);
            assertTrue(correct >= 9_000, correct + " of 10,000 right");
            // An image between two classes may be classified differently on another processor.
            long written = Long.parseLong(classifier.metadata().getOrDefault(FashionClassifier.CORRECT, ""));
            assertTrue(Math.abs(written - correct) <= 2, correct + " right, the metadata say " + written);
        }
    }

    @Test
    void featuresAreOfOneImageEach() {
        LabelledImages test = FashionMnist.test();
        try (FashionClassifier classifier = FashionClassifier.shipped(Device.CPU);
                TensorScope scope = TensorScope.open()) {
            Tensor images = ImageData.items(test, 0, 5, Device.CPU);
            Tensor features = classifier.features(images).detach();
            assertEquals(Shape.of(5, FashionClassifier.FEATURES), features.shape());
            assertTrue(features.min().item() >= 0 && features.var(0).max().item() > 0);
            assertEquals(Shape.of(5, 10), classifier.logits(features).shape());
            assertArrayEquals(
                    features.select(0, 3).toFloatArray(),
                    classifier.features(images.narrow(0, 3, 1)).toFloatArray(),
                    1e-4f);
            assertThrows(IllegalArgumentException.class, () -> classifier.features(Torch.zeros(1, 28, 28)));
            assertThrows(IllegalArgumentException.class, () -> classifier.features(Torch.zeros(1, 1, 32, 32)));
        }
    }

    /** A fit to 600 images is far better than chance, equal for the same seed, and can be saved and loaded. */
    @Test
    void trainingLearnsAndIsReproducible() throws IOException {
        LabelledImages all = FashionMnist.test();
        byte[] pixels = all.pixels().asSlice(0, 600L * all.imageSize()).toArray(ValueLayout.JAVA_BYTE);
        byte[] labels = new byte[600];
        for (int i = 0; i < labels.length; i++) {
            labels[i] = (byte) all.label(i);
        }
        LabelledImages some = new LabelledImages(pixels, 1, 28, 28, labels, FashionMnist.CLASSES);
        List<Double> losses = new ArrayList<>();
        Path file = folder.resolve("classifier.safetensors");
        long correct = new ClassifierTraining(ClassifierKind.CONVOLUTIONAL, 4, 5)
                .run(some, some, Device.CPU, file, (epoch, loss, right) -> losses.add(loss));
        assertEquals(4, losses.size());
        assertTrue(losses.getLast() < losses.getFirst(), losses.toString());
        assertTrue(correct > 300, correct + " of 600 right");
        try (FashionClassifier classifier = FashionClassifier.load(file, Device.CPU)) {
            assertEquals(correct, ClassifierTraining.correct(classifier, some, 600, Device.CPU));
            assertEquals(Long.toString(correct), classifier.metadata().get(FashionClassifier.CORRECT));
        }
        Path again = folder.resolve("again.safetensors");
        new ClassifierTraining(ClassifierKind.CONVOLUTIONAL, 4, 5)
                .run(some, some, Device.CPU, again, (epoch, loss, right) -> {});
        assertArrayEquals(Files.readAllBytes(file), Files.readAllBytes(again));
    }

    @Test
    void aFileOfAnotherKindIsRefused() throws IOException {
        Path file = folder.resolve("other.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(file, Map.of(), Map.of("conv1.weight", Torch.zeros(3)));
        }
        String message = String.valueOf(assertThrows(IOException.class, () -> FashionClassifier.load(file, Device.CPU))
                .getMessage());
        assertTrue(message.contains("conv1.weight is of shape [3]") && message.contains("[16, 1, 3, 3]"), message);
        assertThrows(IllegalArgumentException.class, () -> new ClassifierTraining(ClassifierKind.CONVOLUTIONAL, 0, 1));
    }
}
