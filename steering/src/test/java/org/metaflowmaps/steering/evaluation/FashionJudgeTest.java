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
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;

final class FashionJudgeTest {
    /** Test images for which judge and classifier choose different classes. */
    private static final long DISAGREEMENT = 911;

    private final long live = NativeMemory.liveTensors();

    @TempDir
    private Path folder;

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** Both were trained on the same images: they agree mostly, and not always. docs/fashion-mnist.md has the numbers. */
    @Test
    void accuracyAndDisagreementAreAsDocumented() {
        LabelledImages test = FashionMnist.test();
        try (FashionJudge judge = FashionJudge.shipped(Device.CPU);
                FashionClassifier classifier = FashionClassifier.shipped(Device.CPU);
                Autograd.Mode off = Autograd.inference()) {
            long correct = 0;
            long different = 0;
            for (int from = 0; from < test.count(); from += 500) {
                try (TensorScope scope = TensorScope.open()) {
                    Tensor images = new PixelDecoder().decode(ImageData.items(test, from, from + 500, Device.CPU));
                    Tensor labels = ImageData.labels(test, from, from + 500, Device.CPU);
                    Tensor judged = judge.classify(images).argmax(1);
                    Tensor classified = classifier.classify(images).argmax(1);
                    correct += (long) judged.eq(labels).sum().item();
                    different += 500 - (long) judged.eq(classified).sum().item();
                }
            }
            assertEquals("10000", judge.metadata().get("test_images"));
            // An image between two classes may be classified differently on another processor.
            long written = Long.parseLong(judge.metadata().getOrDefault(FashionClassifier.CORRECT, ""));
            assertTrue(written >= 8_800, written + " of 10,000 right");
            assertTrue(Math.abs(written - correct) <= 2, correct + " right, the metadata say " + written);
            assertTrue(Math.abs(DISAGREEMENT - different) <= 3, different + " of 10,000 are classified differently");
        }
    }

    @Test
    void logitsAreOfOneImageEachAndDifferentiable() {
        try (FashionJudge judge = FashionJudge.shipped(Device.CPU);
                TensorScope scope = TensorScope.open()) {
            Tensor images = new PixelDecoder().decode(ImageData.items(FashionMnist.test(), 0, 4, Device.CPU));
            Tensor logits = judge.classify(images).detach();
            assertEquals(Shape.of(4, 10), logits.shape());
            assertArrayEquals(
                    logits.select(0, 2).toFloatArray(),
                    judge.classify(images.narrow(0, 2, 1)).select(0, 0).toFloatArray(),
                    1e-4f);
            Tensor leaf = images.clone().requiresGrad_(true);
            Tensor gradient = Autograd.gradients(judge.classify(leaf).sum(), List.of(leaf))
                    .getFirst();
            assertTrue(gradient.abs().reshape(4, -1).amax(1).min().item() > 0);
            assertThrows(IllegalArgumentException.class, () -> judge.classify(Torch.zeros(1, 28, 28)));
            assertThrows(IllegalArgumentException.class, () -> judge.classify(Torch.zeros(1, 1, 32, 32)));
        }
    }

    /** A fit to 300 images is far better than chance, and can be saved and loaded. */
    @Test
    void trainingLearns() throws IOException {
        LabelledImages all = FashionMnist.test();
        byte[] pixels = all.pixels().asSlice(0, 300L * all.imageSize()).toArray(ValueLayout.JAVA_BYTE);
        byte[] labels = new byte[300];
        for (int i = 0; i < labels.length; i++) {
            labels[i] = (byte) all.label(i);
        }
        LabelledImages some = new LabelledImages(pixels, 1, 28, 28, labels, FashionMnist.CLASSES);
        List<Double> losses = new ArrayList<>();
        Path file = folder.resolve("judge.safetensors");
        long correct = new ClassifierTraining(ClassifierKind.MIXER, 4, 5, true)
                .run(some, some, Device.CPU, file, (epoch, loss, right) -> losses.add(loss));
        assertEquals(4, losses.size());
        assertTrue(losses.getLast() < losses.getFirst(), losses.toString());
        assertTrue(correct > 60, correct + " of 300 right");
        try (FashionJudge judge = FashionJudge.load(file, Device.CPU)) {
            assertEquals(correct, ClassifierTraining.correct(judge, some, 300, Device.CPU));
            assertEquals(Long.toString(correct), judge.metadata().get(FashionClassifier.CORRECT));
        }
    }

    @Test
    void filesOfOtherKindsAreRefused() throws IOException {
        Path file = folder.resolve("other.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(file, Map.of(), Map.of("patches.weight", Torch.zeros(3)));
        }
        String message = refusal(file);
        assertTrue(message.contains("patches.weight is of shape [3]") && message.contains("expected"), message);
        try (TensorScope scope = TensorScope.open();
                FashionClassifier classifier = FashionClassifier.shipped(Device.CPU)) {
            Safetensors.write(file, Map.of(), classifier.parameters().parameters());
        }
        assertTrue(refusal(file).contains("patches.weight is missing"), refusal(file));
        Files.writeString(file, "no weights");
        refusal(file);
        refusal(folder.resolve("missing.safetensors"));
    }

    private static String refusal(Path file) {
        return String.valueOf(assertThrows(IOException.class, () -> FashionJudge.load(file, Device.CPU))
                .getMessage());
    }
}
