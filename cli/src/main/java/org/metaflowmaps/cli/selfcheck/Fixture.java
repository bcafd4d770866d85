package org.metaflowmaps.cli.selfcheck;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.models.checkpoint.CheckpointLayout;
import org.metaflowmaps.models.checkpoint.NetworkFile;
import org.metaflowmaps.models.checkpoint.StrictJson;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import tools.jackson.databind.JsonNode;

/**
 * A file of reference values: up to three networks of one shape, and cases with their inputs and outputs.
 *
 * <p>Metadata {@code config} is the networks' shape, {@code case/NAME} the numbers of a case; tensors are
 * {@code weights/KEY}, {@code teacher/KEY}, {@code student/KEY}, {@code case/NAME/in/ARG} and
 * {@code case/NAME/out/VALUE}.
 */
final class Fixture implements AutoCloseable {
    private static final String CASE = "case/";

    private final Path path;
    private final SafetensorsFile file;
    private final Device device;
    private final DType type;
    private final TransformerConfig config;
    private final Map<String, FlowMapTransformer> networks = new HashMap<>();

    private Fixture(Path path, SafetensorsFile file, Device device, DType type, TransformerConfig config) {
        this.path = path;
        this.file = file;
        this.device = device;
        this.type = type;
        this.config = config;
    }

    /** Opens a file for an element type of networks and inputs. */
    static Fixture open(Path path, Device device, DType type) throws IOException {
        SafetensorsFile file = SafetensorsFile.open(path);
        try {
            String config = file.metadata().get("config");
            if (config == null) {
                throw new IOException(path + " has no metadata entry 'config': it is not a file of reference values");
            }
            return new Fixture(path, file, device, type, StrictJson.read(config, TransformerConfig.class));
        } catch (IllegalArgumentException e) {
            file.close();
            throw new IOException(path + ": metadata 'config' is not understood: " + e.getMessage(), e);
        } catch (IOException e) {
            file.close();
            throw e;
        }
    }

    /** Returns the names of the cases, in the file's order. */
    List<String> cases() {
        return file.metadata().keySet().stream()
                .filter(key -> key.startsWith(CASE))
                .map(key -> key.substring(CASE.length()))
                .toList();
    }

    /** Returns the network of that name, loaded once. */
    FlowMapTransformer network(String name) throws IOException {
        FlowMapTransformer network = networks.get(name);
        if (network == null) {
            CheckpointLayout layout = CheckpointLayout.at(file, name + "/" + NetworkFile.PREFIX);
            NetworkFile.check(config, file, path, layout);
            network = FlowMapTransformer.zeros(config, device, type);
            networks.put(name, network);
            NetworkFile.load(network, file, layout);
        }
        return network;
    }

    Case of(String name) throws IOException {
        try {
            return new Case(name, StrictJson.object(file.metadata().getOrDefault(CASE + name, "{}")));
        } catch (IllegalArgumentException e) {
            throw new IOException(path + ": metadata '" + CASE + name + "' is not understood: " + e.getMessage(), e);
        }
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

        Fixture fixture() {
            return Fixture.this;
        }

        JsonNode numbers() {
            return numbers;
        }

        /** Returns the element type of the case's computation. */
        DType type() {
            return type;
        }

        boolean has(String input) {
            return file.entries().containsKey(CASE + name + "/in/" + input);
        }

        Tensor in(String input) {
            Tensor stored = Safetensors.view(file, CASE + name + "/in/" + input).to(device);
            return stored.dtype().isFloatingPoint() ? stored.to(type) : stored;
        }

        Tensor out(String value) {
            return Safetensors.view(file, CASE + name + "/out/" + value);
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
        networks.values().forEach(FlowMapTransformer::close);
        file.close();
    }
}
