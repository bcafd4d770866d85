package org.metaflowmaps.runtime;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * A file of named tensors, memory-mapped: a safetensors file or one of PyTorch's.
 *
 * <p>The mapping lives until the file is closed and the last tensor of {@link #view} is freed. All methods may be called from any
 * thread; after {@link #close} those that read throw {@link IllegalStateException}.
 */
public sealed interface TensorFile extends AutoCloseable permits SafetensorsFile, PyTorchFile {
    /** A tensor of a file, before its values are read. */
    interface Entry {
        /** The tensor's name, unique in the file. */
        String name();

        /** The elements' type. */
        DType dtype();

        /** The sizes, each at least 0, outermost first; empty for a single value; unmodifiable. */
        List<Long> shape();

        /** How many elements the shape has. */
        default long elements() {
            return byteSize() / dtype().bytes();
        }

        /** The number of elements times the size of one. */
        long byteSize();
    }

    /** The tensors by name, in the file's order; unmodifiable. */
    Map<String, ? extends Entry> entries();

    /** The texts that the file holds beside its tensors, by key; unmodifiable. */
    Map<String, String> metadata();

    /**
     * One tensor, as a view of the mapping, without a copy where its address permits.
     *
     * @param name a tensor of the file; it keeps its bytes mapped, also after the file was closed
     * @return a CPU tensor in the innermost open scope; writing to it changes neither the file nor other processes' view of it
     * @throws IllegalArgumentException if there is no such tensor
     * @throws IllegalStateException if the file was closed
     */
    Tensor view(String name);

    /** Closes the file, and unmaps it once no tensor of {@link #view} is left; closing twice is harmless. */
    @Override
    void close();

    /**
     * Opens a file of either format, told apart by its first bytes, or by its name where those say nothing.
     *
     * @return the open file, which the caller closes
     * @throws IOException if the file is missing, damaged or of another format
     */
    static TensorFile open(Path path) throws IOException {
        if (Files.isRegularFile(path)) {
            try (InputStream in = Files.newInputStream(path)) {
                String start = new String(in.readNBytes(2), ISO_8859_1);
                if (start.equals("PK") || (start.startsWith("\u0080") && isPyTorchName(path))) {
                    return PyTorchFile.open(path);
                }
            }
        }
        return isPyTorchName(path) ? PyTorchFile.open(path) : SafetensorsFile.open(path);
    }

    /** True for names that PyTorch's own files have: those that end in .pt, .pth, .ckpt or .bin. */
    static boolean isPyTorchName(Path path) {
        String name = String.valueOf(path.getFileName()).toLowerCase(Locale.ROOT);
        return Set.of(".pt", ".pth", ".ckpt", ".bin").stream().anyMatch(name::endsWith);
    }

    /**
     * Writes a file, in PyTorch's format if its name says so and as safetensors if it ends in .safetensors.
     *
     * @param target the file, replaced if it exists
     * @param metadata free texts by name; PyTorch's format has no place for them and drops them
     * @param tensors by what name, and from where; each is asked for its values when its turn comes
     * @throws IllegalArgumentException if the name ends in neither, or two tensors have the same name
     * @throws IOException if it cannot be written; what was there before is untouched
     */
    static void write(Path target, Map<String, String> metadata, List<? extends OutgoingTensor> tensors) throws IOException {
        if (isPyTorchName(target)) {
            PyTorchWriter.write(target, tensors);
        } else if (String.valueOf(target.getFileName()).toLowerCase(Locale.ROOT).endsWith(".safetensors")) {
            SafetensorsWriter.write(target, metadata, tensors);
        } else {
            throw new IllegalArgumentException(target + " has no known ending: name it .safetensors or .pt");
        }
    }
}
