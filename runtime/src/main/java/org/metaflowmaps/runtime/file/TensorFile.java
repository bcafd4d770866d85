package org.metaflowmaps.runtime.file;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;

/**
 * A memory-mapped file of named tensors: a safetensors file, a PyTorch file, or a folder of such shards with an index.
 *
 * <p>The mapping stays until the file is closed and the last tensor of {@link #view} is freed. All methods may be
 * called from any thread; after {@link #close} reading throws {@link IllegalStateException}.
 */
public sealed interface TensorFile extends AutoCloseable permits SafetensorsFile, PyTorchFile, ShardedFile {
    /** A tensor of a file, before its values are read. */
    interface Entry {
        /** The tensor's name, unique in the file. */
        String name();

        /** The elements' type. */
        DType dtype();

        /** The sizes; of no dimension for a single value. */
        Shape shape();

        /** Returns the number of elements. */
        default long elements() {
            return byteSize() / dtype().bytes();
        }

        /** The number of elements times the size of one. */
        long byteSize();
    }

    /** The tensors by name, in the file's order; unmodifiable. */
    Map<String, ? extends Entry> entries();

    /** Returns the file's texts by key; unmodifiable. */
    Map<String, String> metadata();

    /**
     * Returns names whose values are not tensors of a supported type, with the reason and what to do; unmodifiable.
     * They are in neither {@link #entries} nor {@link #metadata}.
     */
    Map<String, String> unreadable();

    /**
     * Returns one tensor as a view of the mapping, or a copy if its address is not aligned.
     *
     * @param name a tensor of the file; it keeps its bytes mapped, also after the file is closed
     * @return a CPU tensor in the innermost open scope; writing to it changes neither the file nor other processes'
     *     view of it
     * @throws IllegalArgumentException if there is no such tensor, or it is {@link #unreadable}
     * @throws IllegalStateException if the file was closed
     */
    Tensor view(String name);

    /** Closes the file, and unmaps it once no tensor of {@link #view} is left; closing twice is harmless. */
    @Override
    void close();

    /**
     * Opens a file of either format, recognised by its first bytes or else its name, or the shards of an index or its
     * folder.
     *
     * @return the open file, which the caller closes
     * @throws IOException if the file is missing, damaged or of another format, or its folder cannot be listed
     */
    static TensorFile open(Path path) throws IOException {
        if (Files.isDirectory(path) || ShardedFile.isIndex(path)) {
            return ShardedFile.open(path);
        }
        ShardedFile.refuseShard(path);
        return openOne(path);
    }

    /** Opens a single file, which may be one of several shards. */
    static TensorFile openOne(Path path) throws IOException {
        if (Files.isRegularFile(path)) {
            byte[] start;
            try (InputStream in = Files.newInputStream(path)) {
                start = in.readNBytes(FileKind.START);
            }
            MemorySegment bytes = MemorySegment.ofArray(start);
            if (FileKind.beginsSafetensors(bytes, Files.size(path))) {
                return SafetensorsFile.open(path);
            }
            if ((start.length > 1 && start[0] == 'P' && start[1] == 'K') || PyTorchLegacy.begins(bytes)) {
                return PyTorchFile.open(path);
            }
        }
        return isPyTorchName(path) ? PyTorchFile.open(path) : SafetensorsFile.open(path);
    }

    /** Returns true for names of PyTorch files, which end in .pt, .pth, .ckpt or .bin. */
    static boolean isPyTorchName(Path path) {
        String name = String.valueOf(path.getFileName()).toLowerCase(Locale.ROOT);
        return Set.of(".pt", ".pth", ".ckpt", ".bin").stream().anyMatch(name::endsWith);
    }

    /**
     * Writes a file, in PyTorch's format or as safetensors according to the ending of its name.
     *
     * @param target the file, replaced if it exists
     * @param metadata free texts by name; in PyTorch's format an attribute of the dict, see {@link PyTorchWriter}
     * @param tensors the tensors; the values of each are made when it is written
     * @throws IllegalArgumentException if the name ends in neither, or two tensors have the same name
     * @throws IOException if it cannot be written; what was there before is untouched
     */
    static void write(Path target, Map<String, String> metadata, List<? extends OutgoingTensor> tensors)
            throws IOException {
        if (isPyTorchName(target)) {
            PyTorchWriter.write(target, metadata, tensors);
        } else if (String.valueOf(target.getFileName()).toLowerCase(Locale.ROOT).endsWith(".safetensors")) {
            SafetensorsWriter.write(target, metadata, tensors);
        } else {
            throw new IllegalArgumentException(target + " has no known ending: name it .safetensors or .pt");
        }
    }
}
