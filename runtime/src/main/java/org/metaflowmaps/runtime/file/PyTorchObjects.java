package org.metaflowmaps.runtime.file;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.file.Pickle.Dict;
import org.metaflowmaps.runtime.file.Pickle.Made;
import org.metaflowmaps.runtime.file.Pickle.Name;
import org.metaflowmaps.runtime.file.Pickle.Opaque;

/** Handles the names in a file of torch.save that describe tensors and dicts; all others stay inert. */
final class PyTorchObjects implements Pickle.Names {
    /** Bytes of an element by the names of PyTorch's storages, without those of {@link DType}. */
    private static final Map<String, Integer> OTHER_STORAGES = Map.of(
            "ComplexFloatStorage",
            8,
            "ComplexDoubleStorage",
            16,
            "QInt8Storage",
            1,
            "QUInt8Storage",
            1,
            "QInt32Storage",
            4,
            "QUInt4x2Storage",
            1,
            "QUInt2x4Storage",
            1);

    private static final Map<String, Integer> STORAGES = storages();
    private static final Map<String, DType> TYPES = types();

    /** Marks storages of PyTorch's device {@code meta}, which have a size and no memory. */
    static final long NO_VALUES = -1;

    /** The most elements that calls such as {@code list(x)} may copy, for any file size. */
    private static final long MAX_COPIES = 3_000_000;
    /** Extra copied elements that a small file may request. */
    private static final long SPARE_COPIES = 10_000;

    /** The storages that the pickle refers to, by key; filled while it is read. */
    private final Map<String, Storage> storages = new HashMap<>();

    private final long allowed;
    private long copied;

    /**
     * Makes the handler for one file.
     *
     * @param fileSize in bytes; limits copies by calls, because each element takes at least a byte in the file
     */
    PyTorchObjects(long fileSize) {
        this.allowed = SPARE_COPIES + Math.min(fileSize, MAX_COPIES);
    }

    /**
     * A storage: memory of tensors.
     *
     * @param type the name of its type in PyTorch
     * @param dtype null for bytes without a type, and for a type that this library does not have
     * @param width bytes of an element
     * @param key its name in the file
     * @param begin its first element, relative to the storage with this key
     * @param elements the number of elements
     * @param whole elements of the storage with this key; {@link #NO_VALUES} if it is not in the file
     */
    record Storage(String type, @Nullable DType dtype, int width, String key, long begin, long elements, long whole) {}

    /**
     * A tensor as described in the pickle, not yet checked against its storage.
     *
     * @param storage null if it has no values
     * @param dtype null for a type that this library does not have
     * @param type the type's name
     * @param offset the first element, relative to the storage's begin
     * @param negated true if the values are the negated stored values
     */
    record Described(
            @Nullable Storage storage,
            @Nullable DType dtype,
            String type,
            long offset,
            List<Long> shape,
            List<Long> strides,
            boolean negated) {}

    private static Map<String, Integer> storages() {
        Map<String, Integer> storages = new HashMap<>(OTHER_STORAGES);
        storages.put("UntypedStorage", 1);
        for (DType type : DType.values()) {
            storages.put(storageName(type), type.bytes());
        }
        return Map.copyOf(storages);
    }

    private static Map<String, DType> types() {
        Map<String, DType> types = new HashMap<>(Map.of(
                "half",
                DType.FLOAT16,
                "float",
                DType.FLOAT32,
                "double",
                DType.FLOAT64,
                "short",
                DType.INT16,
                "int",
                DType.INT32,
                "long",
                DType.INT64));
        for (DType type : DType.values()) {
            types.put(type.toString(), type);
            types.put(storageName(type), type);
        }
        return Map.copyOf(types);
    }

    /** Returns PyTorch's name for a storage of that type. */
    static String storageName(DType type) {
        return switch (type) {
            case UINT8 -> "ByteStorage";
            case INT8 -> "CharStorage";
            case INT16 -> "ShortStorage";
            case INT32 -> "IntStorage";
            case INT64 -> "LongStorage";
            case FLOAT16 -> "HalfStorage";
            case FLOAT32 -> "FloatStorage";
            case FLOAT64 -> "DoubleStorage";
            case BOOL -> "BoolStorage";
            case BFLOAT16 -> "BFloat16Storage";
        };
    }

    /** Returns the storages that the pickle refers to, by key. */
    Map<String, Storage> storagesByKey() {
        return storages;
    }

    @Override
    public @Nullable Object call(Name name, Object[] arguments) {
        Object known = switch (name.module()) {
            case "torch._utils" -> rebuilt(name.name(), arguments);
            case "torch._tensor" -> ofType(name.name(), arguments);
            case "torch.nn.parameter" ->
                name.name().equals("Parameter") || name.name().equals("Buffer") ? first(arguments) : null;
            case "torch" ->
                name.name().equals("Size") && arguments.length == 1 && arguments[0] instanceof Object[] sizes
                        ? sizes
                        : null;
            case "collections" -> dict(name.name(), arguments);
            case "builtins", "__builtin__" -> builtIn(name.name(), arguments);
            case "_codecs" -> name.name().equals("encode") ? new Opaque("bytes") : null;
            default -> null;
        };
        return known != null ? known : new Made(name.toString(), arguments);
    }

    private static @Nullable Object rebuilt(String name, Object[] arguments) {
        int count = arguments.length;
        return switch (name) {
            case "_rebuild_tensor" -> count == 4 ? tensor(arguments, null, null) : null;
            case "_rebuild_tensor_v2" ->
                count == 6 || count == 7 ? tensor(arguments, null, count == 7 ? arguments[6] : null) : null;
            case "_rebuild_tensor_v3" ->
                (count == 7 || count == 8) && arguments[6] instanceof Name type
                        ? tensor(arguments, type, count == 8 ? arguments[7] : null)
                        : null;
            case "_rebuild_parameter" -> count == 3 ? first(arguments) : null;
            case "_rebuild_parameter_with_state" -> count == 4 ? first(arguments) : null;
            case "_rebuild_device_tensor_from_cpu_tensor" ->
                count == 4
                                && arguments[0] instanceof Described tensor
                                && arguments[1] instanceof Name type
                                && type.name().equals(tensor.type())
                        ? tensor
                        : null;
            case "_rebuild_meta_tensor_no_storage" ->
                count == 4 && arguments[0] instanceof Name type
                        ? new Described(
                                null,
                                TYPES.get(type.name()),
                                type.name(),
                                0,
                                wholes(arguments[1]),
                                wholes(arguments[2]),
                                false)
                        : null;
            default -> null;
        };
    }

    /**
     * {@code _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, metadata=None)}
     * and its variants.
     */
    private static @Nullable Object tensor(Object[] arguments, @Nullable Name given, @Nullable Object metadata) {
        if (!(arguments[0] instanceof Storage storage)) {
            return null;
        }
        DType dtype = given == null ? storage.dtype : TYPES.get(given.name());
        String type = given != null ? given.name() : dtype != null ? dtype.toString() : storage.type;
        boolean negated = metadata instanceof Map<?, ?> bits && Boolean.TRUE.equals(bits.get("neg"));
        return new Described(
                storage, dtype, type, whole(arguments[1]), wholes(arguments[2]), wholes(arguments[3]), negated);
    }

    private static @Nullable Object first(Object[] arguments) {
        return arguments.length > 0 && arguments[0] instanceof Described tensor ? tensor : null;
    }

    /**
     * {@code _rebuild_from_type_v2(func, new_type, args, state)}: the tensor, if its class is part of PyTorch. Accepts
     * only functions of {@code torch._utils} as {@code func}, as PyTorch writes them, because a file may nest this
     * function without end.
     */
    private @Nullable Object ofType(String name, Object[] arguments) {
        if ((name.equals("_rebuild_from_type_v2") || name.equals("_rebuild_from_type"))
                && arguments.length == 4
                && arguments[0] instanceof Name function
                && arguments[1] instanceof Name type
                && arguments[2] instanceof Object[] inner) {
            boolean plain = switch (type.module()) {
                case "torch", "torch._tensor" -> type.name().equals("Tensor");
                case "torch.nn.parameter" ->
                    type.name().equals("Parameter") || type.name().equals("Buffer");
                default -> false;
            };
            if (!plain) {
                return new Made(type.toString(), arguments);
            }
            Object tensor = function.module().equals("torch._utils") ? rebuilt(function.name(), inner) : null;
            return tensor != null ? tensor : new Made(function.toString(), inner);
        }
        return null;
    }

    /**
     * Counts elements before a call copies them, because a small pickle can copy one large container any number of
     * times.
     */
    private void count(int elements) {
        copied += elements;
        if (copied > allowed) {
            throw new IllegalArgumentException("calls copy more than " + allowed + " elements of lists and dicts");
        }
    }

    private @Nullable Object dict(String name, Object[] arguments) {
        boolean known = name.equals("OrderedDict") || name.equals("defaultdict") || name.equals("Counter");
        if (!known) {
            return null;
        }
        Object from = arguments.length == 0 ? null : arguments[arguments.length - 1];
        Dict dict = new Dict();
        if (from instanceof Map<?, ?> items) {
            count(items.size());
            items.forEach(dict::put);
        } else if (from instanceof List<?> pairs) {
            // Python 2 writes an OrderedDict as pairs.
            count(pairs.size());
            for (Object pair : pairs) {
                Object[] parts = pair instanceof List<?> list && list.size() == 2
                        ? list.toArray()
                        : pair instanceof Object[] tuple ? tuple : new Object[0];
                if (parts.length != 2 || !(parts[0] instanceof String || parts[0] instanceof Number)) {
                    return null;
                }
                dict.put(parts[0], parts[1]);
            }
        }
        return dict;
    }

    private @Nullable Object builtIn(String name, Object[] arguments) {
        return switch (name) {
            case "set", "frozenset", "list" -> list(arguments);
            case "dict" -> dict("OrderedDict", arguments);
            default -> null;
        };
    }

    private @Nullable Object list(Object[] arguments) {
        if (arguments.length == 0) {
            return new ArrayList<@Nullable Object>();
        }
        if (arguments.length > 1 || !(arguments[0] instanceof List<?> list)) {
            return null;
        }
        count(list.size());
        return new ArrayList<@Nullable Object>(list);
    }

    @Override
    public @Nullable Object persistent(@Nullable Object id) {
        if (!(id instanceof Object[] parts) || parts.length < 2) {
            return new Made("persistent identifier");
        }
        if ("module".equals(parts[0])) {
            return parts[1];
        }
        if (!"storage".equals(parts[0]) || parts.length < 5 || parts.length > 6 || !(parts[1] instanceof Name type)) {
            return new Made("persistent identifier");
        }
        Integer width = STORAGES.get(type.name());
        if (width == null || !(type.module().equals("torch") || type.module().startsWith("torch."))) {
            return new Made(type.toString());
        }
        if (!(parts[2] instanceof String || parts[2] instanceof Long)) {
            throw new IllegalArgumentException("a storage's key is " + Pickle.kind(parts[2]) + ", not a text");
        }
        String key = parts[2].toString();
        long elements = whole(parts[4]);
        if ("meta".equals(parts[3])) {
            return new Storage(type.name(), TYPES.get(type.name()), width, key, 0, elements, NO_VALUES);
        }
        Storage storage = new Storage(type.name(), TYPES.get(type.name()), width, key, 0, elements, elements);
        storages.putIfAbsent(key, storage);
        // Files from before PyTorch 1.6 may refer to a part of a storage.
        return parts.length == 6 && parts[5] instanceof Object[] view && view.length == 3
                ? new Storage(type.name(), storage.dtype, width, key, whole(view[1]), whole(view[2]), elements)
                : storage;
    }

    private static List<Long> wholes(@Nullable Object sizes) {
        Object[] values =
                sizes instanceof Object[] tuple ? tuple : sizes instanceof List<?> list ? list.toArray() : null;
        if (values == null || values.length > SafetensorsHeader.MAX_DIMENSIONS) {
            throw new IllegalArgumentException("sizes or strides are " + Pickle.kind(sizes)
                    + ", not a tuple of at most " + SafetensorsHeader.MAX_DIMENSIONS + " numbers");
        }
        List<Long> numbers = new ArrayList<>();
        for (Object value : values) {
            numbers.add(whole(value));
        }
        return List.copyOf(numbers);
    }

    private static long whole(@Nullable Object value) {
        if (value instanceof Long number && number >= 0) {
            return number;
        }
        throw new IllegalArgumentException(
                "a size, stride or offset is " + Pickle.kind(value) + ", not a whole number from 0 on");
    }
}
