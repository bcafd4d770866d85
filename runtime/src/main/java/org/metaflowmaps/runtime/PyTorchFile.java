package org.metaflowmaps.runtime;

import static org.metaflowmaps.runtime.SafetensorsException.quote;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A file of {@code torch.save}, memory-mapped: tensors are views of the storages where they lie, whatever the file's size.
 *
 * <p>Tensors in dicts of dicts, lists and tuples have the keys and indices on their way as their name, joined by dots:
 * {@code ema.x_embedder.proj.weight}. Texts and numbers in dicts become {@link #metadata}; other things are left out.
 *
 * <p>The file runs no code: it may name nothing but what rebuilds tensors, see {@link PyTorchPickle}. Shapes, strides and offsets
 * are checked against the storages when the file is opened. The checksums of the storages are not computed, as PyTorch does not
 * either. For the mapping see {@link SafetensorsFile}.
 *
 * <p>Format: https://docs.pytorch.org/docs/stable/notes/serialization.html; files of PyTorch before 1.6 are refused.
 */
public final class PyTorchFile implements TensorFile {
    private static final int MAX_DEPTH = 32;
    /** For all names together, so that dicts that hold each other many times come to an end. */
    private static final long MAX_CHARACTERS = 20_000_000;
    private static final int MAX_TEXT = 10_000;

    private final String file;
    private final FileMemory memory;
    private final PyTorchArchive archive;
    private final Map<String, Entry> entries = new LinkedHashMap<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();
    private long characters;

    private PyTorchFile(Path path, MemorySegment whole, Arena arena) throws IOException {
        this.file = path.toString();
        this.archive = PyTorchArchive.read(path, whole);
        parse();
        this.memory = new FileMemory(file, whole, arena);
    }

    /**
     * One tensor of a file.
     *
     * @param name the keys on the way to it
     * @param dtype the elements' type
     * @param shape the sizes, each at least 0, outermost first; unmodifiable
     * @param strides distances between neighbours along each dimension, in elements; unmodifiable
     * @param begin the first element's place in the file, in bytes
     */
    public record Entry(String name, DType dtype, List<Long> shape, List<Long> strides, long begin) implements TensorFile.Entry {
        /** Keeps its own copies of the lists. */
        public Entry {
            shape = List.copyOf(shape);
            strides = List.copyOf(strides);
        }

        @Override
        public long byteSize() {
            return SafetensorsHeader.byteCount(dtype, shape);
        }

        /** True if the elements lie one after the other, the last dimension fastest. */
        boolean dense() {
            long step = 1;
            for (int i = shape.size() - 1; i >= 0; i--) {
                if (shape.get(i) != 1 && strides.get(i) != step) {
                    return false;
                }
                step *= shape.get(i);
            }
            return true;
        }

        /** Elements of the storage from the first that belongs to the tensor to the last. */
        long extent() {
            long last = 0;
            for (int i = 0; i < shape.size(); i++) {
                last = Math.addExact(last, Math.multiplyExact(shape.get(i) - 1, strides.get(i)));
            }
            return last + 1;
        }
    }

    /**
     * Opens a file and checks all that is in it but the values.
     *
     * @return the open file, which the caller closes
     * @throws PyTorchException if the file is not one of tensors, is damaged, or names what is not allowed
     * @throws IOException if the file is missing or cannot be read
     */
    @SuppressWarnings("MustBeClosedChecker") // the arena goes to the result, whose close() closes it
    public static PyTorchFile open(Path path) throws IOException {
        SafetensorsFile.requireFile(path, "a file of torch.save");
        Arena arena = Arena.ofShared();
        try {
            return new PyTorchFile(path, SafetensorsFile.load(path, arena), arena);
        } catch (Throwable e) {
            arena.close();
            throw e;
        }
    }

    private void parse() throws PyTorchException {
        if (archive.has("byteorder")
                && !new String(archive.bytes("byteorder"), StandardCharsets.US_ASCII).equals("little")) {
            throw new PyTorchException(file, "the numbers are not in little-endian order", "a file written on a little-endian machine");
        }
        Object root = PyTorchPickle.read(file, archive.bytes("data.pkl"));
        if (!(root instanceof Map)) {
            throw new PyTorchException(file, "the file holds " + PyTorchPickle.kind(root), "a dict of tensors by name");
        }
        collect("", root, 0);
    }

    private void collect(String name, @Nullable Object value, int depth) throws PyTorchException {
        characters += name.length() + 1;
        if (characters > MAX_CHARACTERS || depth > MAX_DEPTH) {
            throw new PyTorchException(file, "dicts and lists are nested too deeply or too often, such as under " + quote(name),
                    "at most " + MAX_DEPTH + " levels and " + MAX_CHARACTERS + " characters of names");
        }
        String prefix = name.isEmpty() ? "" : name + ".";
        switch (value) {
            case Map<?, ?> dict -> {
                for (Map.Entry<?, ?> item : dict.entrySet()) {
                    Object inner = item.getValue();
                    String key = prefix + item.getKey();
                    if ((inner instanceof String text && text.length() <= MAX_TEXT) || inner instanceof Integer || inner instanceof Long
                            || inner instanceof Double || inner instanceof Boolean) {
                        metadata.put(key, String.valueOf(inner));
                        characters += key.length();
                    } else {
                        collect(key, inner, depth + 1);
                    }
                }
            }
            case List<?> list -> {
                int index = 0;
                for (Object item : list) {
                    collect(prefix + index++, item, depth + 1);
                }
            }
            case Object[] tuple -> {
                for (int i = 0; i < tuple.length; i++) {
                    collect(prefix + i, tuple[i], depth + 1);
                }
            }
            case PyTorchPickle.Described tensor -> {
                if (entries.put(name, entry(name, tensor)) != null) {
                    throw new PyTorchException(file, "two tensors are named " + quote(name), "names that differ when joined by dots");
                }
            }
            case null, default -> { }
        }
    }

    private Entry entry(String name, PyTorchPickle.Described tensor) throws PyTorchException {
        PyTorchPickle.Storage storage = tensor.storage();
        String record = "data/" + storage.key();
        String what = "tensor " + quote(name) + " of shape " + tensor.shape();
        long begin = archive.begin(record);
        long size = archive.size(record);
        int width = storage.dtype().bytes();
        if (size % width != 0 || size / width != storage.elements()) {
            throw new PyTorchException(file, what + " lies in a storage of " + size + " bytes", storage.elements() + " elements of "
                    + storage.dtype() + " as the pickle says");
        }
        if (tensor.strides().size() != tensor.shape().size()) {
            throw new PyTorchException(file, what + " has strides " + tensor.strides(), "a stride for each size");
        }
        try {
            Entry entry = new Entry(name, storage.dtype(), tensor.shape(), tensor.strides(),
                    Math.addExact(begin, Math.multiplyExact(tensor.offset(), width)));
            long bytes = entry.byteSize();
            if (bytes > 0 && (bytes > size || Math.addExact(tensor.offset(), entry.extent()) > storage.elements())) {
                throw new PyTorchException(file, what + ", strides " + tensor.strides() + " and offset " + tensor.offset()
                        + " does not fit its storage of " + storage.elements() + " elements",
                        "a tensor inside its storage, each element with memory of its own (contiguous() before torch.save)");
            }
            return entry;
        } catch (ArithmeticException e) {
            throw new PyTorchException(file, what + " and strides " + tensor.strides() + " has too many bytes for a 64-bit number",
                    "a smaller shape", e);
        }
    }

    @Override
    public Map<String, Entry> entries() {
        return Collections.unmodifiableMap(entries);
    }

    @Override
    public Map<String, String> metadata() {
        return Collections.unmodifiableMap(metadata);
    }

    @Override
    public Tensor view(String name) {
        memory.requireOpen();
        Entry entry = entries.get(name);
        if (entry == null) {
            throw new IllegalArgumentException(file + " has no tensor " + quote(name) + " among its " + entries.size()
                    + ": entries() lists them");
        }
        long[] shape = sizes(entry.shape());
        if (entry.byteSize() == 0 || entry.dense()) {
            return memory.view(entry.byteSize() == 0 ? 0 : entry.begin(), entry.byteSize(), entry.dtype(), shape);
        }
        long extent = entry.extent();
        try (Tensor flat = memory.view(entry.begin(), extent * entry.dtype().bytes(), entry.dtype(), extent)) {
            return flat.asStrided(shape, sizes(entry.strides()));
        }
    }

    private static long[] sizes(List<Long> sizes) {
        return sizes.stream().mapToLong(Long::longValue).toArray();
    }

    @Override
    public void close() {
        memory.close();
    }
}
