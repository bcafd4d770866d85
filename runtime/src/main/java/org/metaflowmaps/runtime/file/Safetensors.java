package org.metaflowmaps.runtime.file;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.runtime.Tensor;

/** Tensors in and out of safetensors files. */
public final class Safetensors {
    private Safetensors() {}

    /**
     * One tensor of an open file, as a view of the mapping, without a copy.
     *
     * @param file an open file; the tensor stays valid after it was closed
     * @param name a tensor of the file
     * @return a CPU tensor in the innermost open scope; writing to it changes neither the file nor other processes' view of it
     * @throws IllegalArgumentException if there is no such tensor
     */
    public static Tensor view(SafetensorsFile file, String name) {
        return file.view(name);
    }

    /**
     * Writes tensors to a file, beside it first and then renamed, so that the file is whole at any moment.
     *
     * @param target the file, replaced if it exists
     * @param metadata free text by name
     * @param tensors by name, of any device
     * @return the checksum of the file as {@link SafetensorsWriter#write} gives it
     * @throws IOException if it cannot be written; what was there before is untouched
     */
    public static String write(Path target, Map<String, String> metadata, Map<String, Tensor> tensors)
            throws IOException {
        return SafetensorsWriter.write(target, metadata, items(tensors));
    }

    /**
     * Writes tensors as {@link #write} does, to a file that carries its own checksum for {@link SafetensorsFile#verify}.
     *
     * @param target the file, replaced if it exists
     * @param metadata free text by name
     * @param tensors by name, of any device
     * @return the checksum as {@link SafetensorsWriter#writeSealed} gives it
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
