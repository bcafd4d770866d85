package org.metaflowmaps.training.model;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Safetensors;
import org.metaflowmaps.runtime.SafetensorsFile;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** A network's tensors in a safetensors file, under the public checkpoints' names. */
public final class NetworkFile {
    /** What the public meta flow map files put before every name. */
    public static final String PREFIX = "dit.";

    private NetworkFile() {}

    /**
     * Fills a network's parameters and buffers from a file.
     *
     * @param map every parameter must be in the file, in its shape; every tensor of the file under the prefix must be used
     * @param file stays the caller's
     * @param prefix before every name
     * @throws IOException if names or shapes do not fit; the network is then unchanged
     */
    public static void load(MetaFlowMap map, SafetensorsFile file, String prefix) throws IOException {
        Map<String, Tensor> wanted = new LinkedHashMap<>(map.parameters().parameters());
        wanted.putAll(map.buffers());
        List<String> wrong = new ArrayList<>();
        for (Map.Entry<String, Tensor> entry : wanted.entrySet()) {
            SafetensorsFile.Entry found = file.entries().get(prefix + entry.getKey());
            List<Long> shape = Arrays.stream(entry.getValue().shape()).boxed().toList();
            if (found == null) {
                wrong.add(prefix + entry.getKey() + " is missing");
            } else if (!found.shape().equals(shape)) {
                wrong.add(found.name() + " has shape " + found.shape() + ", the network needs " + shape);
            }
        }
        for (String name : file.entries().keySet()) {
            if (name.startsWith(prefix) && !wanted.containsKey(name.substring(prefix.length()))) {
                wrong.add(name + " is not part of the network");
            }
        }
        if (!wrong.isEmpty()) {
            throw new IOException("the checkpoint does not fit the network in " + wrong.size() + " places: "
                    + String.join("; ", wrong.subList(0, Math.min(6, wrong.size()))) + (wrong.size() > 6 ? "; ..." : "")
                    + ". Check that the config is the one it was trained with");
        }
        try (Autograd.Mode off = Autograd.noGrad()) {
            for (Map.Entry<String, Tensor> entry : wanted.entrySet()) {
                try (TensorScope scope = TensorScope.open()) {
                    entry.getValue().copy_(Safetensors.view(file, prefix + entry.getKey()));
                }
            }
        }
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
