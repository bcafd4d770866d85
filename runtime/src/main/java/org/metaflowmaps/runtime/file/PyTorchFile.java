package org.metaflowmaps.runtime.file;

import static org.metaflowmaps.runtime.internal.Texts.quote;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Pickle.Dict;
import org.metaflowmaps.runtime.file.Pickle.Made;
import org.metaflowmaps.runtime.file.PyTorchObjects.Described;
import org.metaflowmaps.runtime.file.PyTorchObjects.Storage;
import org.metaflowmaps.runtime.internal.Texts;

/**
 * A file of {@code torch.save}, memory-mapped: tensors are views of the mapped storages, for any file size.
 *
 * <p>A tensor's name joins the keys, indices and attributes that lead to it by dots:
 * {@code ema.x_embedder.proj.weight}. Tensors of a saved module have the names of its state dict. Texts and numbers in
 * dicts become {@link #metadata}; other values are skipped. Values nested too deeply are {@link #unreadable}.
 *
 * <p>Reading runs no code of the file: names that do not rebuild tensors stay inert, see {@link Pickle}, and tensors
 * that depend on them are {@link #unreadable}. Shapes, strides and offsets are checked against the storages when the
 * file is opened. Checksums of storages are not verified, as in PyTorch. For the mapping see {@link SafetensorsFile}.
 *
 * <p>Format: https://docs.pytorch.org/docs/stable/notes/serialization.html; for files of PyTorch before 1.6 see
 * {@link PyTorchLegacy}.
 */
public final class PyTorchFile implements TensorFile {
    private static final int MAX_DEPTH = 64;
    /** Limit for all names together, so that reading dicts which contain each other many times ends. */
    private static final long MAX_CHARACTERS = 20_000_000;

    private static final int MAX_TEXT = 10_000;
    /** The most bytes of a tensor that is larger than its file because of a stride of 0. */
    private static final long MAX_EXPANDED = 256L << 20;
    /** The attribute of the outermost dict under which {@link PyTorchWriter} keeps texts. */
    static final String TEXTS = "_mfm";
    /** The dicts that hold the state of a PyTorch module. */
    private static final List<String> MODULE = List.of("_parameters", "_buffers", "_modules");

    private final String file;
    private final MappedFile memory;
    private final long fileSize;
    private final Map<String, Entry> entries = new LinkedHashMap<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();
    private final Map<String, String> unreadable = new LinkedHashMap<>();
    private final Set<Object> path = Collections.newSetFromMap(new IdentityHashMap<>());
    /**
     * Reasons for unreadable values, by the call that made them; shared, because a small file can repeat one under
     * millions of names.
     */
    private final Map<Object, String> reasons = new HashMap<>();

    private final Set<Made> objects = Collections.newSetFromMap(new IdentityHashMap<>());
    private long characters;
    private boolean bigEndian;

    private PyTorchFile(Path path, MemorySegment whole, Arena arena) throws IOException {
        this.file = path.toString();
        this.fileSize = whole.byteSize();
        parse(path, whole);
        this.memory = new MappedFile(file, whole, arena);
    }

    /**
     * One tensor of a file.
     *
     * @param name the keys that lead to it, joined by dots
     * @param dtype the elements' type
     * @param shape the sizes
     * @param strides the strides in elements; unmodifiable
     * @param begin the first element's offset in the file, in bytes
     * @param negated true if the values are the negated stored values, as in some views of complex tensors
     */
    public record Entry(String name, DType dtype, Shape shape, List<Long> strides, long begin, boolean negated)
            implements TensorFile.Entry {
        /** Copies the list. */
        public Entry {
            strides = List.copyOf(strides);
        }

        @Override
        public long byteSize() {
            return SafetensorsHeader.byteCount(dtype, shape.toArray());
        }

        /** Returns true if the elements are contiguous in row-major order. */
        boolean dense() {
            long step = 1;
            for (int i = shape.dim() - 1; i >= 0; i--) {
                if (shape.size(i) != 1 && strides.get(i) != step) {
                    return false;
                }
                step *= shape.size(i);
            }
            return true;
        }

        /** Returns the number of storage elements from the tensor's first to its last. */
        long extent() {
            long last = 0;
            for (int i = 0; i < shape.dim(); i++) {
                last = Math.addExact(last, Math.multiplyExact(shape.size(i) - 1, strides.get(i)));
            }
            return Math.addExact(last, 1);
        }
    }

    /**
     * Opens a file and checks everything except the values.
     *
     * @return the open file, which the caller closes
     * @throws PyTorchException if the file is damaged or holds no tensors
     * @throws IOException if the file is missing or cannot be read
     */
    @SuppressWarnings("MustBeClosedChecker") // the result's close() closes the arena
    public static PyTorchFile open(Path path) throws IOException {
        SafetensorsFile.requireFile(path, "a file of torch.save");
        FileClasses.load(path);
        Arena arena = Arena.ofShared();
        try {
            return new PyTorchFile(path, SafetensorsFile.load(path, arena), arena);
        } catch (Throwable e) {
            arena.close();
            throw e;
        }
    }

    private void parse(Path from, MemorySegment whole) throws IOException {
        PyTorchObjects names = new PyTorchObjects(fileSize);
        PyTorchStorages storages;
        Object root;
        if (PyTorchLegacy.begins(whole)) {
            PyTorchLegacy legacy = PyTorchLegacy.read(file, whole, names);
            storages = legacy;
            root = legacy.root();
        } else {
            PyTorchArchive archive = PyTorchArchive.read(from, whole);
            storages = archive;
            bigEndian = archive.isBigEndian();
            root = Pickle.read(file, archive.pickle(), 0, names).value();
        }
        if (!isContainer(root)) {
            throw new PyTorchException(
                    file,
                    "the file holds " + Pickle.kind(root),
                    "a dict of tensors by name: save the network in "
                            + "Python with torch.save(model.state_dict(), FILE)");
        }
        collect("", root, 0, true, storages);
        if (root instanceof Dict dict
                && dict.attributes() instanceof Map<?, ?> attributes
                && attributes.get(TEXTS) instanceof Map<?, ?> texts) {
            // Do not convert other values to text: nested lists can make it endless.
            texts.forEach((key, text) -> {
                if (key instanceof String name && text instanceof String value && !unreadable.containsKey(name)) {
                    metadata.put(name, value);
                }
            });
        }
    }

    private static boolean isContainer(@Nullable Object value) {
        return value instanceof Map || value instanceof List || value instanceof Object[] || value instanceof Made;
    }

    /** Returns the joined name; counts its characters first, because both parts may be long. */
    private String inside(String prefix, String key) throws PyTorchException {
        count(prefix.length() + (long) key.length(), prefix.isEmpty() ? key : prefix);
        return prefix + key;
    }

    private void count(long length, String name) throws PyTorchException {
        characters += length + 1;
        if (characters > MAX_CHARACTERS) {
            throw new PyTorchException(
                    file,
                    "dicts and lists are nested too often or have too long keys, such as in " + quote(name),
                    "at most " + MAX_CHARACTERS + " characters of names");
        }
    }

    /** Collects the values under a name; texts only if {@code texts} is true. */
    private void collect(String name, @Nullable Object value, int depth, boolean texts, PyTorchStorages storages)
            throws PyTorchException {
        if (value instanceof Described tensor) {
            add(name, tensor, storages);
        }
        // A container inside itself is collected once.
        if (value == null || !isContainer(value) || path.contains(value)) {
            return;
        }
        if (depth > MAX_DEPTH) {
            refuse(
                    name,
                    "it is inside more than " + MAX_DEPTH
                            + " dicts, lists and objects: save its tensors in a dict by name, such as "
                            + "model.state_dict()");
            return;
        }
        path.add(value);
        String prefix = name.isEmpty() ? "" : name + ".";
        switch (value) {
            case Map<?, ?> dict -> items(prefix, dict, depth, texts, storages);
            case List<?> list -> elements(prefix, list, depth, texts, storages);
            case Object[] tuple -> elements(prefix, Arrays.asList(tuple), depth, texts, storages);
            case Made made -> object(name, made, depth, storages);
            default -> {}
        }
        path.remove(value);
    }

    private void items(String prefix, Map<?, ?> dict, int depth, boolean texts, PyTorchStorages storages)
            throws PyTorchException {
        for (Map.Entry<?, ?> item : dict.entrySet()) {
            Object inner = item.getValue();
            String key = inside(prefix, item.getKey().toString());
            if ((inner instanceof String text && text.length() <= MAX_TEXT)
                    || inner instanceof Long
                    || inner instanceof Double
                    || inner instanceof Boolean) {
                if (texts && !unreadable.containsKey(key)) {
                    metadata.put(key, String.valueOf(inner));
                }
            } else {
                collect(key, inner, depth + 1, texts, storages);
            }
        }
    }

    private void elements(String prefix, List<?> list, int depth, boolean texts, PyTorchStorages storages)
            throws PyTorchException {
        int index = 0;
        for (Object element : list) {
            collect(inside(prefix, String.valueOf(index++)), element, depth + 1, texts, storages);
        }
    }

    /** Collects the items, elements and attributes of an object that is not created. */
    private void object(String name, Made made, int depth, PyTorchStorages storages) throws PyTorchException {
        String prefix = name.isEmpty() ? "" : name + ".";
        Object state = made.state();
        if (state instanceof Map<?, ?> attributes && MODULE.stream().allMatch(attributes::containsKey)) {
            for (String part : MODULE) {
                // Count here too: the parts keep the object's name, and objects can contain each other many times.
                count(name.length(), name);
                collect(name, attributes.get(part), depth + 1, false, storages);
            }
            return;
        }
        if (made.items().isEmpty() && made.elements().isEmpty()) {
            refuse(name, reasons.computeIfAbsent(made.by(), key -> reason(made.by())));
        }
        if (!objects.add(made)) {
            return;
        }
        // Objects with underscore attributes have hundreds of internal values; read texts only from plain objects.
        items(prefix, made.items(), depth, true, storages);
        elements(prefix, made.elements(), depth, false, storages);
        if (state instanceof Map<?, ?> attributes) {
            boolean plain =
                    attributes.keySet().stream().noneMatch(key -> key.toString().startsWith("_"));
            items(prefix, attributes, depth, plain, storages);
        }
    }

    /** Lists a name as unreadable and removes a tensor or text of the same name, because the name is ambiguous. */
    private void refuse(String name, String why) {
        entries.remove(name);
        metadata.remove(name);
        unreadable.putIfAbsent(name, why);
    }

    private static String reason(String by) {
        return switch (by) {
            case "torch._utils._rebuild_sparse_tensor", "torch._utils._rebuild_sparse_csr_tensor" ->
                "it is a sparse tensor: save its to_dense()";
            case "torch._utils._rebuild_qtensor" -> "it is a quantised tensor: save its dequantize()";
            case "torch._utils._rebuild_nested_tensor" -> "it is a nested tensor: save its to_padded_tensor(0.0)";
            case "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct" ->
                "it is an array of NumPy: save torch.from_numpy(array)";
            default ->
                "it depends on '" + by + "', which would have to be run: save a plain tensor in its place, "
                        + "such as model.state_dict() has";
        };
    }

    private void add(String name, Described tensor, PyTorchStorages storages) throws PyTorchException {
        if (unreadable.containsKey(name)) {
            return;
        }
        Storage storage = tensor.storage();
        if (storage == null || storage.whole() == PyTorchObjects.NO_VALUES) {
            refuse(
                    name,
                    "it has no values, because it was saved on the device 'meta': save the network after loading its"
                            + " weights");
            return;
        }
        if (tensor.dtype() == null) {
            refuse(
                    name,
                    reasons.computeIfAbsent(
                            tensor,
                            key -> "its elements are of type " + Texts.clean(tensor.type(), 40) + ", shape "
                                    + tensor.shape()
                                    + ", which is not supported: save it as one of float32, float16, bfloat16 and"
                                    + " float64"));
            return;
        }
        Entry entry = entry(name, tensor, tensor.dtype(), storage, storages);
        Entry other = entries.putIfAbsent(name, entry);
        if (other != null && !other.equals(entry)) {
            refuse(name, "two tensors have this name: choose names that differ when joined by dots");
        }
    }

    private Entry entry(String name, Described tensor, DType dtype, Storage storage, PyTorchStorages storages)
            throws PyTorchException {
        String what = "tensor " + quote(name) + " of shape " + tensor.shape();
        long begin = storages.begin(storage.key());
        long size = storages.size(storage.key());
        if (size != storage.whole() * storage.width() || storage.whole() > Long.MAX_VALUE / storage.width()) {
            throw new PyTorchException(
                    file,
                    what + " has a storage of " + size + " bytes",
                    storage.whole() + " elements of " + storage.type()
                            + " as the pickle says: the file is damaged, fetch it again");
        }
        if (tensor.strides().size() != tensor.shape().size()) {
            throw new PyTorchException(file, what + " has strides " + tensor.strides(), "a stride for each size");
        }
        try {
            long first = Math.addExact(
                    Math.multiplyExact(storage.begin(), storage.width()),
                    Math.multiplyExact(tensor.offset(), dtype.bytes()));
            long end = Math.multiplyExact(Math.addExact(storage.begin(), storage.elements()), storage.width());
            long[] sizes = sizes(tensor.shape());
            SafetensorsHeader.byteCount(dtype, sizes);
            Entry entry = new Entry(
                    name, dtype, Shape.of(sizes), tensor.strides(), begin + Math.min(first, size), tensor.negated());
            long bytes = entry.byteSize();
            if (end > size
                    || (bytes > 0 && Math.addExact(first, Math.multiplyExact(entry.extent(), dtype.bytes())) > end)) {
                throw new PyTorchException(
                        file,
                        what + ", strides " + tensor.strides() + " and offset " + tensor.offset()
                                + " does not fit its storage of " + storage.elements() + " elements",
                        "a tensor inside its storage");
            }
            if (bytes > Math.max(MAX_EXPANDED, fileSize)) {
                throw new PyTorchException(
                        file,
                        what + " and strides " + tensor.strides() + " repeats a storage of " + size + " bytes to "
                                + bytes,
                        "at most " + MAX_EXPANDED + " bytes, or as many as the file has: save it contiguous()");
            }
            return entry;
        } catch (ArithmeticException e) {
            throw new PyTorchException(
                    file,
                    what + ", strides " + tensor.strides() + " and offset " + tensor.offset()
                            + " has too many bytes for a 64-bit number",
                    "a smaller shape",
                    e);
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
    public Map<String, String> unreadable() {
        return Collections.unmodifiableMap(unreadable);
    }

    @Override
    public Tensor view(String name) {
        memory.requireOpen();
        Entry entry = entries.get(name);
        if (entry == null) {
            String why = unreadable.get(name);
            throw new IllegalArgumentException(
                    why != null
                            ? file + ": tensor " + quote(name) + " cannot be read: " + why
                            : file + " has no tensor " + quote(name) + " among its " + entries.size()
                                    + ": entries() lists them");
        }
        if (!entry.negated()) {
            return stored(entry);
        }
        Tensor stored = stored(entry);
        Tensor negative = stored.neg();
        stored.close();
        return negative;
    }

    /**
     * Returns a tensor's bytes without making a tensor: little-endian, contiguous, in row-major order.
     *
     * @return a read-only view, valid while this file is open
     * @throws IllegalArgumentException if there is no such tensor, or it is not stored in this order
     * @throws IllegalStateException if the file was closed
     */
    public MemorySegment bytes(String name) {
        memory.requireOpen();
        Entry entry = entries.get(name);
        if (entry == null
                || !entry.dense()
                || entry.negated()
                || (bigEndian && entry.dtype().bytes() > 1)) {
            throw new IllegalArgumentException(file + ": tensor " + quote(name)
                    + " is not stored contiguously in row-major, little-endian order: read it with view()");
        }
        return memory.bytes().asSlice(entry.begin(), entry.byteSize()).asReadOnly();
    }

    private Tensor stored(Entry entry) {
        long[] shape = entry.shape().toArray();
        if (entry.byteSize() == 0) {
            return memory.view(0, 0, entry.dtype(), shape);
        }
        if (entry.dense()) {
            return inOrder(entry, entry.byteSize(), shape);
        }
        long extent = entry.extent();
        try (Tensor flat = inOrder(entry, extent * entry.dtype().bytes(), extent)) {
            return flat.asStrided(shape, sizes(entry.strides()));
        }
    }

    /** Returns an entry's bytes as a tensor: a view, or a copy in this machine's byte order. */
    private Tensor inOrder(Entry entry, long bytes, long... shape) {
        int width = entry.dtype().bytes();
        if (!bigEndian || width == 1) {
            return memory.view(entry.begin(), bytes, entry.dtype(), shape);
        }
        MemorySegment stored = memory.bytes().asSlice(entry.begin(), bytes);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment turned = arena.allocate(bytes, Long.BYTES);
            for (long at = 0; at < bytes; at += width) {
                for (int i = 0; i < width; i++) {
                    turned.set(ValueLayout.JAVA_BYTE, at + i, stored.get(ValueLayout.JAVA_BYTE, at + width - 1 - i));
                }
            }
            return Torch.copyOf(turned, entry.dtype(), shape);
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
