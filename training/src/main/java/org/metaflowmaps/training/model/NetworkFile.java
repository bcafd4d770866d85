package org.metaflowmaps.training.model;

import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Safetensors;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorFile;
import org.metaflowmaps.runtime.TensorScope;

/** A network's tensors in a file, under the public checkpoints' names. */
public final class NetworkFile {
    /** What the public meta flow map files put before every name. */
    public static final String PREFIX = "dit.";

    private NetworkFile() {}

    /**
     * Fills a network's parameters and buffers from a file, converting to their type.
     *
     * @param map every parameter must be in the file, in its shape; every tensor of the file under the prefix must be used
     * @param file stays the caller's
     * @param prefix before every name
     * @throws IOException if names or shapes do not fit; the network is then unchanged
     */
    public static void load(MetaFlowMap map, TensorFile file, String prefix) throws IOException {
        load(map, file, CheckpointLayout.at(file, prefix), false);
    }

    /**
     * Fills a network's parameters and buffers from a file of any layout, converting to their type.
     *
     * @param map keeps what the file does not have
     * @param file stays the caller's
     * @param layout where in the file the network is
     * @param lenient true to load what fits, false to refuse a file that does not fit in every place
     * @return what did not fit
     * @throws IOException if not lenient and names or shapes do not fit, or if nothing fits; the network is then unchanged
     */
    public static Fit load(MetaFlowMap map, TensorFile file, CheckpointLayout layout, boolean lenient) throws IOException {
        Map<String, Tensor> wanted = new LinkedHashMap<>(map.parameters().parameters());
        wanted.putAll(map.buffers());
        Map<String, List<Long>> shapes = new LinkedHashMap<>();
        wanted.forEach((name, tensor) -> shapes.put(name, Arrays.stream(tensor.shape()).boxed().toList()));
        Fit fit = Fit.of(file, layout, shapes);
        boolean nothing = fit.missing().size() + fit.misshapen().size() == wanted.size();
        if (lenient ? nothing : !fit.isExact()) {
            throw new IOException("the checkpoint does not fit the network in " + fit.places() + " places: " + fit
                    + ". Check that the config is the one it was trained with");
        }
        Map<String, String> names = layout.names(file);
        try (Autograd.Mode off = Autograd.noGrad()) {
            for (Map.Entry<String, Tensor> entry : wanted.entrySet()) {
                String name = names.get(entry.getKey());
                if (name == null || !Objects.requireNonNull(file.entries().get(name)).shape().equals(shapes.get(entry.getKey()))) {
                    continue;
                }
                try (TensorScope scope = TensorScope.open()) {
                    entry.getValue().copy_(file.view(name));
                }
            }
        }
        return fit;
    }

    /**
     * A network's tensors by their names in a file, for {@link Safetensors#write}.
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
