package org.metaflowmaps.runtime;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Tensors in and out of safetensors files. */
public final class Safetensors {
    private Safetensors() {}

    /**
     * One tensor of an open file, as a view of the mapping, without a copy.
     *
     * @param file must stay open for as long as the tensor and its views are used
     * @param name a tensor of the file
     * @return a CPU tensor in the innermost open scope; writing to it changes neither the file nor other processes' view of it
     * @throws IllegalArgumentException if there is no such tensor
     */
    public static Tensor view(SafetensorsFile file, String name) {
        SafetensorsFile.Entry entry = file.entries().get(name);
        if (entry == null) {
            throw new IllegalArgumentException("no tensor is named '" + name + "'; the file has " + file.entries().size()
                    + ", such as " + file.entries().keySet().stream().limit(5).toList());
        }
        long[] shape = entry.shape().stream().mapToLong(Long::longValue).toArray();
        MemorySegment bytes = file.bytes(name);
        if (bytes.byteSize() == 0 || !file.aligned(name)) {
            // An empty range has no address to view, and a crooked one may not be read in place: both are copied.
            Tensor copy = Torch.empty(entry.dtype(), Device.CPU, shape);
            if (bytes.byteSize() > 0) {
                copy.borrow("view").copyFrom(bytes);
            }
            return copy;
        }
        return Torch.of(bytes, entry.dtype(), shape);
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
    public static String write(Path target, Map<String, String> metadata, Map<String, Tensor> tensors) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            return SafetensorsWriter.write(target, metadata, items(tensors));
        }
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
    public static String writeSealed(Path target, Map<String, String> metadata, Map<String, Tensor> tensors) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            return SafetensorsWriter.writeSealed(target, metadata, items(tensors));
        }
    }

    /** Views or copies in the innermost open scope. */
    private static List<SafetensorsWriter.Item> items(Map<String, Tensor> tensors) {
        List<SafetensorsWriter.Item> items = new ArrayList<>();
        for (Map.Entry<String, Tensor> entry : tensors.entrySet()) {
            Tensor tensor = entry.getValue().detach().to(Device.CPU).contiguous();
            List<Long> shape = Arrays.stream(tensor.shape()).boxed().toList();
            items.add(new SafetensorsWriter.Item(entry.getKey(), tensor.dtype(), shape, tensor.borrow("write")));
        }
        return items;
    }
}
