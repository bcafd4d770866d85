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
 * A file of named tensors, memory-mapped: a safetensors file, one of PyTorch's, or a folder of either with an index.
 *
 * <p>The mapping lives until the file is closed and the last tensor of {@link #view} is freed. All methods may be called from any
 * thread; after {@link #close} those that read throw {@link IllegalStateException}.
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
     * Names under which the file has something other than a tensor of a supported type, with the reason and what to do; unmodifiable.
     * They are among neither {@link #entries} nor {@link #metadata}.
     */
    Map<String, String> unreadable();

    /**
     * One tensor, as a view of the mapping, without a copy where its address permits.
     *
     * @param name a tensor of the file; it keeps its bytes mapped, also after the file was closed
     * @return a CPU tensor in the innermost open scope; writing to it changes neither the file nor other processes' view of it
     * @throws IllegalArgumentException if there is no such tensor, or it is {@link #unreadable}
     * @throws IllegalStateException if the file was closed
     */
    Tensor view(String name);

    /** Closes the file, and unmaps it once no tensor of {@link #view} is left; closing twice is harmless. */
    @Override
    void close();

    /**
     * Opens a file of either format, which its first bytes decide, or its name if they do not; or the shards that an index names,
     * by the index or by its folder.
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

    /** True for names that PyTorch's own files have: those that end in .pt, .pth, .ckpt or .bin. */
    static boolean isPyTorchName(Path path) {
        String name = String.valueOf(path.getFileName()).toLowerCase(Locale.ROOT);
        return Set.of(".pt", ".pth", ".ckpt", ".bin").stream().anyMatch(name::endsWith);
    }

    /**
     * Writes a file, in PyTorch's format if its name says so and as safetensors if it ends in .safetensors.
     *
     * @param target the file, replaced if it exists
     * @param metadata free texts by name; in PyTorch's format an attribute of the dict, see {@link PyTorchWriter}
     * @param tensors by what name, and from where; each is asked for its values when its turn comes
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
