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
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.steering.reward.ImageClassifier;
import org.metaflowmaps.training.data.FashionMnist;

/** A classifier of Fashion-MNIST with a file of float16 weights. */
abstract class TrainedClassifier implements Network, ImageClassifier {
    /** The weights, owned by this classifier. */
    final ParameterArena arena;

    private final Map<String, String> metadata;

    TrainedClassifier(ParameterArena arena, Map<String, String> metadata) {
        this.arena = arena;
        this.metadata = metadata;
    }

    /**
     * Computes the last layer from items in the range of the data.
     *
     * @param items (B, 1, 28, 28) in [-1, 1]
     * @return (B, 10), in the innermost open scope
     * @throws IllegalArgumentException if the items are of another shape
     */
    abstract Tensor outputs(Tensor items);

    /** Draws normal weights, scaled for rectifiers; biases stay 0. */
    static ParameterArena initialised(ParameterArena arena, RandomSource random) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            arena.parameters().forEach((name, parameter) -> {
                if (name.endsWith("weight")) {
                    long inputs = parameter.numel() / parameter.size(0);
                    parameter.copy_(random.normal(parameter.shape()).mul(Math.sqrt(2.0 / inputs)));
                }
            });
        }
        return arena;
    }

    /** Reads a file's metadata and its weights into an arena, which this method closes if it throws. */
    static Map<String, String> read(Path file, ParameterArena arena) throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(file);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            for (Map.Entry<String, Tensor> parameter : arena.parameters().entrySet()) {
                SafetensorsFile.Entry found = open.entries().get(parameter.getKey());
                if (found == null || !found.shape().equals(parameter.getValue().shape())) {
                    throw new IOException(file + " is not a classifier of this kind: " + parameter.getKey() + " is "
                            + (found == null ? "missing" : "of shape " + found.shape()) + ", expected shape "
                            + parameter.getValue().shape());
                }
                parameter.getValue().copy_(Safetensors.view(open, parameter.getKey()));
            }
            return open.metadata();
        } catch (IOException | RuntimeException e) {
            arena.close();
            throw e;
        }
    }

    /** Loads a classifier from a file. */
    @FunctionalInterface
    interface Loading<T> {
        T from(Path file) throws IOException;
    }

    /** Loads a resource of this package. */
    static <T> T shipped(String resource, Loading<T> loading) {
        try {
            // A resource inside a jar cannot be memory-mapped.
            Path copy = Files.createTempFile("mfm-classifier", ".safetensors");
            try (InputStream stream = TrainedClassifier.class.getResourceAsStream(resource)) {
                if (stream == null) {
                    throw new IOException("the resource " + resource + " is missing: build this library again");
                }
                Files.copy(stream, copy, StandardCopyOption.REPLACE_EXISTING);
                return loading.from(copy);
            } finally {
                Files.delete(copy);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("this library's classifier cannot be read: " + e.getMessage(), e);
        }
    }

    /** Writes the weights as float16, because this halves the size and costs no accuracy. */
    final void write(Path file, Map<String, String> description) throws IOException {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            arena.parameters().forEach((name, parameter) -> tensors.put(name, parameter.to(DType.FLOAT16)));
            Safetensors.write(file, description, tensors);
        }
    }

    /** Rounds the weights as {@link #write} does. */
    final void round() {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            arena.values().copy_(arena.values().to(DType.FLOAT16));
        }
    }

    static void checkItems(Tensor items) {
        Preconditions.checkArgument(
                items.dim() == 4
                        && items.size(1) == 1
                        && items.size(2) == FashionMnist.SIZE
                        && items.size(3) == FashionMnist.SIZE,
                "classifier: images are %s, expected a shape of (B, 1, %s, %s)",
                items,
                FashionMnist.SIZE,
                FashionMnist.SIZE);
    }

    /** Returns how the weights were trained, and their accuracy; empty for new ones. */
    public final Map<String, String> metadata() {
        return metadata;
    }

    /** Returns the weights, owned by this classifier. */
    @Override
    public final ParameterArena parameters() {
        return arena;
    }

    /**
     * Classifies images in the range of rewards, [0, 1].
     *
     * @param images (B, 1, 28, 28) in [0, 1]; computed in float32
     * @return (B, 10) of the images' type, in the innermost open scope
     */
    @Override
    public final Tensor classify(Tensor images) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor items = images.to(DType.FLOAT32).mul(2).sub(1);
            return scope.keep(outputs(items).to(images.dtype()));
        }
    }

    @Override
    public final void close() {
        arena.close();
    }
}
