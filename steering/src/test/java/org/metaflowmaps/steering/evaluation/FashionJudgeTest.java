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
    /** Test images classified, because all 10,000 take long. */
    private static final int SOME = 1000;

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
        try (FashionJudge judge = FashionJudge.shipped(Device.CPU)) {
            assertEquals("10000", judge.metadata().get("test_images"));
            double share = Long.parseLong(judge.metadata().getOrDefault(FashionClassifier.CORRECT, "")) / 10_000.0;
            assertTrue(share >= 0.9, "accuracy " + share);
            double found = (double) ClassifierTraining.correct(judge, test, SOME, Device.CPU) / SOME;
            double error = Math.sqrt(share * (1 - share) / SOME);
            assertEquals(share, found, 4 * error);
        }
    }

    /** Both were trained on the same images, by other seeds and architectures: they agree mostly, and not always. */
    @Test
    void judgeAndClassifierMakeDifferentErrors() {
        LabelledImages test = FashionMnist.test();
        try (FashionJudge judge = FashionJudge.shipped(Device.CPU);
                FashionClassifier classifier = FashionClassifier.shipped(Device.CPU);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.inference()) {
            Tensor images = new PixelDecoder().decode(ImageData.items(test, 0, SOME, Device.CPU));
            Tensor first = judge.classify(images).argmax(1);
            Tensor second = classifier.classify(images).argmax(1);
            double same = first.eq(second).sum().item() / SOME;
            assertTrue(same > 0.85 && same < 0.99, "the same class for " + same + " of the images");
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

    /** A fit to 400 images is far better than chance, and can be saved and loaded. */
    @Test
    void trainingLearns() throws IOException {
        LabelledImages all = FashionMnist.test();
        byte[] pixels = all.pixels().asSlice(0, 400L * all.imageSize()).toArray(ValueLayout.JAVA_BYTE);
        byte[] labels = new byte[400];
        for (int i = 0; i < labels.length; i++) {
            labels[i] = (byte) all.label(i);
        }
        LabelledImages some = new LabelledImages(pixels, 1, 28, 28, labels, FashionMnist.CLASSES);
        List<Double> losses = new ArrayList<>();
        Path file = folder.resolve("judge.safetensors");
        long correct = new ClassifierTraining(ClassifierKind.MIXER, 6, 5)
                .run(some, some, Device.CPU, file, (epoch, loss, right) -> losses.add(loss));
        assertEquals(6, losses.size());
        assertTrue(losses.getLast() < losses.getFirst(), losses.toString());
        assertTrue(correct > 160, correct + " of 400 right");
        try (FashionJudge judge = FashionJudge.load(file, Device.CPU)) {
            assertEquals(correct, ClassifierTraining.correct(judge, some, 400, Device.CPU));
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
