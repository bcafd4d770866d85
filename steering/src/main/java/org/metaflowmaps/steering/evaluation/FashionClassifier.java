package org.metaflowmaps.steering.evaluation;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.metric.FrechetDistance;
import org.metaflowmaps.steering.reward.ImageClassifier;
import org.metaflowmaps.training.data.FashionMnist;

/**
 * A small convolutional classifier of Fashion-MNIST; its last hidden layer gives the features of
 * {@link FrechetDistance}.
 *
 * <p>Three times a 3 x 3 convolution, a rectifier and a pooling by 2, then two linear layers.
 * {@link ClassifierTraining} trained this library's weights on the 60,000 training images; {@code metadata()} describes
 * the training and the accuracy on the 10,000 test images.
 */
public final class FashionClassifier extends TrainedClassifier implements Network, ImageClassifier {
    /** The number of {@link #features} per image. */
    public static final int FEATURES = 128;

    /** Metadata key of the number of the 10,000 test images classified correctly. */
    public static final String CORRECT = "test_correct";

    private static final int[] CHANNELS = {1, 16, 32, 64};
    private static final int KERNEL = 3;
    private static final int POOL = 2;

    private FashionClassifier(ParameterArena arena, Map<String, String> metadata) {
        super(arena, metadata);
    }

    private static ParameterArena layout(Device device) {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        for (int i = 1; i < CHANNELS.length; i++) {
            shapes.put("conv" + i + ".weight", Shape.of(CHANNELS[i], CHANNELS[i - 1], KERNEL, KERNEL));
            shapes.put("conv" + i + ".bias", Shape.of(CHANNELS[i]));
        }
        int side = FashionMnist.SIZE >> (CHANNELS.length - 1);
        shapes.put("hidden.weight", Shape.of(FEATURES, (long) CHANNELS[CHANNELS.length - 1] * side * side));
        shapes.put("hidden.bias", Shape.of(FEATURES));
        shapes.put("output.weight", Shape.of(FashionMnist.CLASSES.size(), FEATURES));
        shapes.put("output.bias", Shape.of(FashionMnist.CLASSES.size()));
        return new ParameterArena(shapes, device);
    }

    /** Returns a classifier to train, with random weights scaled for rectifiers; owned by the caller. */
    static FashionClassifier initialised(Device device, RandomSource random) {
        return new FashionClassifier(initialised(layout(device), random), Map.of());
    }

    /** Returns this library's trained classifier; owned by the caller. */
    public static FashionClassifier shipped(Device device) {
        return shipped("fashion-classifier.safetensors", file -> load(file, device));
    }

    /**
     * Loads a classifier that {@link ClassifierTraining} wrote; owned by the caller.
     *
     * @throws IOException if the file is missing, damaged or not such a classifier
     */
    public static FashionClassifier load(Path file, Device device) throws IOException {
        ParameterArena arena = layout(device);
        return new FashionClassifier(arena, read(file, arena));
    }

    /**
     * Computes the last hidden layer.
     *
     * @param images (B, 1, 28, 28) in [-1, 1]
     * @return (B, 128), none below 0, in the innermost open scope
     * @throws IllegalArgumentException if the images are of another shape
     */
    public Tensor features(Tensor images) {
        checkItems(images);
        try (TensorScope scope = TensorScope.open()) {
            Tensor state = images;
            for (int i = 1; i < CHANNELS.length; i++) {
                state = Torch.maxPool2d(
                        Torch.conv2d(
                                        state,
                                        arena.get("conv" + i + ".weight"),
                                        arena.get("conv" + i + ".bias"),
                                        KERNEL / 2)
                                .relu(),
                        POOL);
            }
            Tensor flat = state.reshape(images.size(0), -1);
            return scope.keep(Torch.linear(flat, arena.get("hidden.weight"), arena.get("hidden.bias"))
                    .relu());
        }
    }

    /**
     * Computes the last layer; its softmax gives the classes' probabilities.
     *
     * @param features (B, 128) from {@link #features}
     * @return (B, 10), in the innermost open scope
     */
    public Tensor logits(Tensor features) {
        return Torch.linear(features, arena.get("output.weight"), arena.get("output.bias"));
    }

    @Override
    Tensor outputs(Tensor items) {
        return logits(features(items));
    }
}
