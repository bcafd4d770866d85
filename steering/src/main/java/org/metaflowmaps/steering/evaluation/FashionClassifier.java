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
import org.metaflowmaps.steering.reward.ImageClassifier;
import org.metaflowmaps.training.data.FashionMnist;

/**
 * A small convolutional classifier of Fashion-MNIST, whose last hidden layer serves as the features of {@link FrechetDistance}.
 *
 * <p>Three times a 3 x 3 convolution, a rectifier and a pooling by 2, then two linear layers. The weights that come with this
 * library were trained by {@link ClassifierTraining} on the 60,000 training images; {@link #metadata} says how, and what they
 * reach on the 10,000 test images.
 */
public final class FashionClassifier implements Network, ImageClassifier {
    /** Numbers per image that {@link #features} gives. */
    public static final int FEATURES = 128;

    /** Metadata: the number of the 10,000 test images that are classified right. */
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

    /** Random weights of the size that suits rectifiers, to train; owned by the caller. */
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

    /** The classifier that comes with this library; owned by the caller. */
    public static FashionClassifier shipped(Device device) {
        try {
            // A resource inside a jar cannot be memory-mapped.
            Path copy = Files.createTempFile("mfm-classifier", ".safetensors");
            try (InputStream resource = FashionClassifier.class.getResourceAsStream(SHIPPED)) {
                if (resource == null) {
                    throw new IOException("the resource " + SHIPPED + " is missing; build this library again");
                }
                Files.copy(resource, copy, StandardCopyOption.REPLACE_EXISTING);
                return load(copy, device);
            } finally {
                Files.delete(copy);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(
                    "the classifier that comes with this library cannot be read: " + e.getMessage(), e);
        }
    }

    /**
     * A classifier that {@link ClassifierTraining} wrote; owned by the caller.
     *
     * @throws IOException if the file is missing, damaged or no such classifier
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

    /** Writes the weights as float16, half the bytes, which cost no accuracy. */
    void write(Path file, Map<String, String> description) throws IOException {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            arena.parameters().forEach((name, parameter) -> tensors.put(name, parameter.to(DType.FLOAT16)));
            Safetensors.write(file, description, tensors);
        }
    }

    /** Rounds the weights to what {@link #write} keeps of them. */
    void round() {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            arena.values().copy_(arena.values().to(DType.FLOAT16));
        }
    }

    /** How the weights were made and what they reach; empty for new ones. */
    public Map<String, String> metadata() {
        return metadata;
    }

    /** The weights, owned by this classifier. */
    @Override
    public ParameterArena parameters() {
        return arena;
    }

    /**
     * The last hidden layer.
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
     * The last layer: softmax of it gives the classes' probabilities.
     *
     * @param features what {@link #features} gave: (B, 128)
     * @return (B, 10), in the innermost open scope
     */
    public Tensor logits(Tensor features) {
        return Torch.linear(features, arena.get("output.weight"), arena.get("output.bias"));
    }

    /**
     * Classifies images in the range of rewards; {@link #features} takes them in that of the data.
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
