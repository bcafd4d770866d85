package org.metaflowmaps.models.checkpoint;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.TensorFile;

/** Reads a network's tensors from a file; names are those of the public checkpoints. */
public final class NetworkFile {
    /** The prefix of every name in public meta flow map files. */
    public static final String PREFIX = "dit.";

    /** Do not estimate smaller numbers. */
    private static final long FEW = 1000;
    /** One stored number may be repeated, such as the zeros of a new network's modulations, but not more often. */
    private static final long MOST_PER_BYTE = 16;

    private NetworkFile() {}

    /**
     * Reads a network of a given shape. The shape is compared with the file's tensors first, so a file with false
     * settings costs neither time nor memory.
     *
     * @param config the network's shape, from the file or a configuration
     * @param file stays the caller's
     * @param path of the file, for its size
     * @param layout the layout of the network in the file
     * @return owned by the caller
     * @throws IOException if names or shapes do not fit, or this machine has no memory for the network
     */
    public static MetaFlowMap read(
            NetworkConfig config, TensorFile file, Path path, CheckpointLayout layout, Device device)
            throws IOException {
        check(config, file, path, layout);
        MetaFlowMap map;
        try {
            map = config.zeros(device);
        } catch (IllegalArgumentException e) {
            throw new IOException(e.getMessage(), e);
        }
        try {
            load(map, file, layout);
            return map;
        } catch (IOException | RuntimeException | Error e) {
            map.close();
            throw e;
        }
    }

    /**
     * Compares a network's shape with a file's tensors; reads no value and needs no native library.
     *
     * @param path of the file, for its size
     * @throws IOException if names or shapes do not fit
     */
    public static void check(NetworkConfig config, TensorFile file, Path path, CheckpointLayout layout)
            throws IOException {
        long parameters;
        try {
            parameters = config.parameterCount();
        } catch (IllegalArgumentException e) {
            throw new IOException(e.getMessage(), e);
        }
        Map<String, String> names = layout.names(file);
        double held = names.values().stream()
                .mapToDouble(
                        name -> Objects.requireNonNull(file.entries().get(name)).elements())
                .sum();
        long tensors = config.tensorCount();
        // The list of shapes grows with the depth, so check the number of tensors before making it.
        if (tensors > 2L * names.size() + FEW || parameters > 2 * held + FEW) {
            throw new IOException(String.format(
                    Locale.ROOT,
                    "its settings describe a network of %,d parameters in %,d tensors, but under '%s' "
                            + "it holds %,.0f numbers in %,d tensors: the settings do not belong to this file",
                    parameters,
                    tensors,
                    layout.prefix(),
                    held,
                    names.size()));
        }
        requireExact(Fit.of(file, layout, config.shapes()));
        // A tensor that repeats one stored number can have any shape in a few bytes.
        long stored = storedBytes(path);
        if (parameters > MOST_PER_BYTE * stored + FEW * FEW) {
            throw new IOException(String.format(
                    Locale.ROOT,
                    "its network has %,d parameters in a file of %,d bytes: expected at " + "most %d for each byte",
                    parameters,
                    stored,
                    MOST_PER_BYTE));
        }
    }

    /** Returns the bytes of a file, or of all files of a folder. */
    private static long storedBytes(Path path) throws IOException {
        Path folder = Files.isDirectory(path)
                ? path
                : path.toString().endsWith(".json") ? path.toAbsolutePath().getParent() : null;
        if (folder == null) {
            return Files.size(path);
        }
        long sum = 0;
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, Files::isRegularFile)) {
            for (Path file : files) {
                sum += Files.size(file);
            }
        }
        return sum;
    }

    private static void requireExact(Fit fit) throws IOException {
        if (!fit.isExact()) {
            throw new IOException("the checkpoint does not fit the network in " + fit.places() + " places: " + fit
                    + ". Check that the config is the one it was trained with");
        }
    }

    /**
     * Fills a network's parameters and buffers from a file, converting to their type.
     *
     * @param map the network; the file must have exactly its tensors under the prefix, with equal shapes
     * @param file stays the caller's
     * @param prefix before every name
     * @throws IOException if names or shapes do not fit; the network is then unchanged
     */
    public static void load(MetaFlowMap map, TensorFile file, String prefix) throws IOException {
        load(map, file, CheckpointLayout.at(file, prefix));
    }

    /**
     * Fills a network's parameters and buffers from a file of any layout, converting to their type.
     *
     * @param map the network; the file must have exactly its tensors, with equal shapes
     * @param file stays the caller's
     * @param layout the layout of the network in the file
     * @throws IOException if names or shapes do not fit; the network is then unchanged
     */
    public static void load(MetaFlowMap map, TensorFile file, CheckpointLayout layout) throws IOException {
        Map<String, Tensor> wanted = wanted(map);
        requireExact(fit(wanted, file, layout));
        copy(wanted, file, layout);
    }

    /**
     * Fills a network's parameters and buffers that a file has with equal shape, converting to their type; others keep
     * their values.
     *
     * @param file stays the caller's
     * @param layout the layout of the network in the file
     * @return the tensors that did not fit
     * @throws IOException if nothing fits; the network is then unchanged
     */
    public static Fit loadMatching(MetaFlowMap map, TensorFile file, CheckpointLayout layout) throws IOException {
        Map<String, Tensor> wanted = wanted(map);
        Fit fit = fit(wanted, file, layout);
        if (fit.missing().size() + fit.misshapen().size() == wanted.size()) {
            requireExact(fit);
        }
        copy(wanted, file, layout);
        return fit;
    }

    private static Map<String, Tensor> wanted(MetaFlowMap map) {
        Map<String, Tensor> wanted = new LinkedHashMap<>(map.parameters().parameters());
        wanted.putAll(map.buffers());
        return wanted;
    }

    private static Fit fit(Map<String, Tensor> wanted, TensorFile file, CheckpointLayout layout) throws IOException {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        wanted.forEach((name, tensor) -> shapes.put(name, tensor.shape()));
        return Fit.of(file, layout, shapes);
    }

    private static void copy(Map<String, Tensor> wanted, TensorFile file, CheckpointLayout layout) throws IOException {
        Map<String, String> names = layout.names(file);
        try (Autograd.Mode off = Autograd.noGrad()) {
            for (Map.Entry<String, Tensor> entry : wanted.entrySet()) {
                String name = names.get(entry.getKey());
                if (name == null
                        || !Objects.requireNonNull(file.entries().get(name))
                                .shape()
                                .equals(entry.getValue().shape())) {
                    continue;
                }
                try (TensorScope scope = TensorScope.open()) {
                    entry.getValue().copy_(file.view(name));
                }
            }
        }
    }

    /**
     * Returns a network's tensors by their names in a file, for {@link Safetensors#write}.
     *
     * @param flat the arena's values or another buffer of its layout, such as a moving average
     * @return views in the innermost open scope
     */
    public static Map<String, Tensor> tensors(MetaFlowMap map, Tensor flat) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        try (Autograd.Mode off = Autograd.noGrad()) {
            for (String name : map.parameters().parameters().keySet()) {
                tensors.put(PREFIX + name, map.parameters().view(name, flat));
            }
        }
        map.buffers().forEach((name, buffer) -> tensors.put(PREFIX + name, buffer));
        return tensors;
    }
}
