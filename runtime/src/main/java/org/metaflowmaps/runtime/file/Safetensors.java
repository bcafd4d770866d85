package org.metaflowmaps.runtime.file;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.runtime.Tensor;

/** Loads tensors from safetensors files and saves them. */
public final class Safetensors {
    private Safetensors() {}

    /**
     * Returns one tensor of an open file as a view of the mapping, without a copy.
     *
     * @param file an open file; the tensor stays valid after the file is closed
     * @param name a tensor of the file
     * @return a CPU tensor in the innermost open scope; writing to it changes neither the file nor other processes'
     *     view of it
     * @throws IllegalArgumentException if there is no such tensor
     */
    public static Tensor view(SafetensorsFile file, String name) {
        return file.view(name);
    }

    /**
     * Writes tensors to a file atomically, see {@link AtomicFile}.
     *
     * @param target the file, replaced if it exists
     * @param metadata free text by name
     * @param tensors by name, of any device
     * @return the checksum that {@link SafetensorsWriter#write} returns
     * @throws IOException if it cannot be written; what was there before is untouched
     */
    public static String write(Path target, Map<String, String> metadata, Map<String, Tensor> tensors)
            throws IOException {
        return SafetensorsWriter.write(target, metadata, items(tensors));
    }

    /**
     * Writes tensors like {@link #write}, to a file with its own checksum for {@link SafetensorsFile#verify}.
     *
     * @param target the file, replaced if it exists
     * @param metadata free text by name
     * @param tensors by name, of any device
     * @return the checksum that {@link SafetensorsWriter#writeSealed} returns
     * @throws IOException if it cannot be written; what was there before is untouched
     */
    public static String writeSealed(Path target, Map<String, String> metadata, Map<String, Tensor> tensors)
            throws IOException {
        return SafetensorsWriter.writeSealed(target, metadata, items(tensors));
    }

    private static List<OutgoingTensor> items(Map<String, Tensor> tensors) {
        List<OutgoingTensor> items = new ArrayList<>();
        tensors.forEach((name, tensor) ->
                items.add(new OutgoingTensor.Deferred(name, tensor.dtype(), tensor.shape(), () -> tensor)));
        return items;
    }
}
