package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import org.metaflowmaps.models.checkpoint.StrictJson;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import tools.jackson.databind.JsonNode;

/**
 * A file of reference values: a network's weights and cases with their inputs and outputs.
 *
 * <p>Metadata {@code config} is the network's settings, {@code case/NAME} the numbers of a case, {@code files} the other
 * files with the same weights, {@code generator} the kind of the file; tensors are {@code weights/KEY},
 * {@code case/NAME/in/ARG} and {@code case/NAME/out/VALUE}.
 */
final class ReferenceFile implements AutoCloseable {
    private static final String CASE = "case/";
    private static final String KIND = "generator";

    private final Path path;
    private final SafetensorsFile file;
    private final Device device;
    private final DType type;
    private final Deque<Network> networks = new ArrayDeque<>();

    ReferenceFile(Path path, Device device, DType type) throws IOException {
        this.path = path;
        this.device = device;
        this.type = type;
        this.file = SafetensorsFile.open(path);
    }

    /** Returns true if a file states its kind. */
    static boolean is(Path path) throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(path)) {
            return open.metadata().containsKey(KIND);
        }
    }

    String kind() {
        return file.metadata().getOrDefault(KIND, "");
    }

    SafetensorsFile file() {
        return file;
    }

    Path folder() {
        return path.resolveSibling("");
    }

    Device device() {
        return device;
    }

    DType type() {
        return type;
    }

    JsonNode config() throws IOException {
        return json("config");
    }

    String text(String key) {
        return file.metadata().getOrDefault(key, "{}");
    }

    JsonNode json(String key) throws IOException {
        try {
            return StrictJson.object(text(key));
        } catch (IllegalArgumentException e) {
            throw new IOException(path + ": metadata '" + key + "' is not understood: " + e.getMessage(), e);
        }
    }

    /** Keeps a network until this file is closed. */
    <T extends Network> T opened(T network) {
        networks.add(network);
        return network;
    }

    List<String> cases() {
        return file.metadata().keySet().stream()
                .filter(key -> key.startsWith(CASE))
                .map(key -> key.substring(CASE.length()))
                .sorted()
                .toList();
    }

    /** Returns the names of other files with the same weights. */
    List<String> others() throws IOException {
        return json("files").propertyStream().map(entry -> entry.getKey()).toList();
    }

    Case of(String name) throws IOException {
        return new Case(name, json(CASE + name));
    }

    /** The numbers and tensors of one case. */
    final class Case {
        private final String name;
        private final JsonNode numbers;

        private Case(String name, JsonNode numbers) {
            this.name = name;
            this.numbers = numbers;
        }

        String name() {
            return name;
        }

        JsonNode numbers() {
            return numbers;
        }

        boolean has(String input) {
            return file.entries().containsKey(CASE + name + "/in/" + input);
        }

        /** Returns an input on the device, in the type of the computation if it has fractions. */
        Tensor in(String input) throws IOException {
            Tensor stored = stored(input).to(device);
            return stored.dtype().isFloatingPoint() ? stored.to(type) : stored;
        }

        /** Returns an input in its own type. */
        Tensor stored(String input) throws IOException {
            if (!has(input)) {
                throw new IOException(path + ": case " + name + " has no input '" + input + "'");
            }
            return file.view(CASE + name + "/in/" + input);
        }

        Tensor out(String value) {
            return file.view(CASE + name + "/out/" + value);
        }

        List<String> outputs() {
            String prefix = CASE + name + "/out/";
            return file.entries().keySet().stream()
                    .filter(key -> key.startsWith(prefix))
                    .map(key -> key.substring(prefix.length()))
                    .toList();
        }
    }

    @Override
    public void close() {
        networks.forEach(Network::close);
        file.close();
    }
}
