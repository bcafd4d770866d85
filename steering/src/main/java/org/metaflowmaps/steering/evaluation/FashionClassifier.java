package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.steering.metric.FrechetDistance;
import org.metaflowmaps.steering.reward.ImageClassifier;
import org.metaflowmaps.training.data.FashionMnist;

/**
 * A small convolutional classifier of Fashion-MNIST; its last hidden layer gives the features of
 * {@link FrechetDistance}.
 *
 * <p>Three times a 3 x 3 convolution, a rectifier and a pooling by 2, then two linear layers.
 * {@link ClassifierTraining} trained this library's weights on the 60,000 training images; {@link #metadata} describes
 * the training and the accuracy on the 10,000 test images.
 */
public final class FashionClassifier implements Network, ImageClassifier {
    /** The number of {@link #features} per image. */
    public static final int FEATURES = 128;

    /** Metadata key of the number of the 10,000 test images classified correctly. */
    public static final String CORRECT = "test_correct";

    private static final int[] CHANNELS = {1, 16, 32, 64};
    private static final int KERNEL = 3;
    private static final int POOL = 2;
    private static final String SHIPPED = "fashion-classifier.safetensors";

    private final ParameterArena arena;
    private final Map<String, String> metadata;

    private FashionClassifier(ParameterArena arena, Map<String, String> metadata) {
        this.arena = arena;
        this.metadata = metadata;
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
        ParameterArena arena = layout(device);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            arena.parameters().forEach((name, parameter) -> {
                if (name.endsWith("weight")) {
                    long inputs = parameter.numel() / parameter.size(0);
                    parameter.copy_(random.normal(parameter.shape()).mul(Math.sqrt(2.0 / inputs)));
                }
            });
        }
        return new FashionClassifier(arena, Map.of());
    }

    /** Returns this library's trained classifier; owned by the caller. */
    public static FashionClassifier shipped(Device device) {
        try {
            // A resource inside a jar cannot be memory-mapped.
            Path copy = Files.createTempFile("mfm-classifier", ".safetensors");
            try (InputStream resource = FashionClassifier.class.getResourceAsStream(SHIPPED)) {
                if (resource == null) {
                    throw new IOException("the resource " + SHIPPED + " is missing: build this library again");
                }
                Files.copy(resource, copy, StandardCopyOption.REPLACE_EXISTING);
                return load(copy, device);
            } finally {
                Files.delete(copy);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("this library's classifier cannot be read: " + e.getMessage(), e);
        }
    }

    /**
     * Loads a classifier that {@link ClassifierTraining} wrote; owned by the caller.
     *
     * @throws IOException if the file is missing, damaged or not such a classifier
     */
    public static FashionClassifier load(Path file, Device device) throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(file);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            ParameterArena arena = layout(device);
            try {
                for (Map.Entry<String, Tensor> parameter : arena.parameters().entrySet()) {
                    SafetensorsFile.Entry found = open.entries().get(parameter.getKey());
                    Shape shape = parameter.getValue().shape();
                    if (found == null || !found.shape().equals(shape)) {
                        throw new IOException(file + " is not a classifier of this kind: " + parameter.getKey() + " is "
                                + (found == null ? "missing" : "of shape " + found.shape()) + ", expected shape "
                                + shape);
                    }
                    parameter.getValue().copy_(Safetensors.view(open, parameter.getKey()));
                }
                return new FashionClassifier(arena, open.metadata());
            } catch (IOException | RuntimeException e) {
                arena.close();
                throw e;
            }
        }
    }

    /** Writes the weights as float16, because this halves the size and costs no accuracy. */
    void write(Path file, Map<String, String> description) throws IOException {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            arena.parameters().forEach((name, parameter) -> tensors.put(name, parameter.to(DType.FLOAT16)));
            Safetensors.write(file, description, tensors);
        }
    }

    /** Rounds the weights as {@link #write} does. */
    void round() {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            arena.values().copy_(arena.values().to(DType.FLOAT16));
        }
    }

    /** Returns how the weights were trained, and their accuracy; empty for new ones. */
    public Map<String, String> metadata() {
        return metadata;
    }

    /** Returns the weights, owned by this classifier. */
    @Override
    public ParameterArena parameters() {
        return arena;
    }

    /**
     * Computes the last hidden layer.
     *
     * @param images (B, 1, 28, 28) in [-1, 1]
     * @return (B, 128), none below 0, in the innermost open scope
     * @throws IllegalArgumentException if the images are of another shape
     */
    public Tensor features(Tensor images) {
        Preconditions.checkArgument(
                images.dim() == 4
                        && images.size(1) == 1
                        && images.size(2) == FashionMnist.SIZE
                        && images.size(3) == FashionMnist.SIZE,
                "classifier: images are %s, expected a shape of (B, 1, %s, %s)",
                images,
                FashionMnist.SIZE,
                FashionMnist.SIZE);
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

    /**
     * Classifies images in the range of rewards, [0, 1]; {@link #features} uses the range of the data.
     *
     * @param images (B, 1, 28, 28) in [0, 1]; computed in float32
     * @return (B, 10) of the images' type, in the innermost open scope
     */
    @Override
    public Tensor classify(Tensor images) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor states = images.to(DType.FLOAT32).mul(2).sub(1);
            return scope.keep(logits(features(states)).to(images.dtype()));
        }
    }

    @Override
    public void close() {
        arena.close();
    }
}
