package org.metaflowmaps.runtime;

import static org.metaflowmaps.runtime.SafetensorsException.clean;
import static org.metaflowmaps.runtime.SafetensorsException.quote;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import net.razorvine.pickle.IObjectConstructor;
import net.razorvine.pickle.Opcodes;
import net.razorvine.pickle.PickleUtils;
import net.razorvine.pickle.Unpickler;
import org.jspecify.annotations.Nullable;

/**
 * Reads the pickle of a PyTorch file, and of the language only what describes tensors in dicts, lists and tuples.
 *
 * <p>A pickle is a program that may call any function it names. Here a name is looked up in {@link #GLOBALS} and nowhere else, the
 * unpickler's own table included; instructions that are not listed in {@link #dispatch} are refused; and an instruction that
 * announces more bytes than follow is refused before memory is set aside for them.
 */
final class PyTorchPickle extends Unpickler {
    /** An object takes at least one instruction, so this bounds the memory of a hostile file. */
    private static final int MAX_INSTRUCTIONS = 3_000_000;

    /** All that a pickle may name. */
    private static final Map<Name, Object> GLOBALS = globals();

    private final String file;
    private final ByteArrayInputStream bytes;
    private int instructions;

    private PyTorchPickle(String file, byte[] pickle) {
        this.file = file;
        this.bytes = new ByteArrayInputStream(pickle);
    }

    /** A function or class of Python; two names, because joined with a dot they would be ambiguous. */
    private record Name(String module, String name) {}

    /** A type of storage, which nothing can be called with. */
    private record StorageType(DType dtype) {}

    /** A record of the archive that tensors lie in. */
    record Storage(DType dtype, String key, long elements) {}

    /** A tensor as the pickle describes it, not yet compared with its storage. */
    record Described(Storage storage, long offset, List<Long> shape, List<Long> strides) {}

    private static Map<Name, Object> globals() {
        Map<Name, Object> globals = new LinkedHashMap<>();
        globals.put(new Name("torch._utils", "_rebuild_tensor_v2"), (IObjectConstructor) PyTorchPickle::tensor);
        globals.put(new Name("torch._utils", "_rebuild_parameter"), (IObjectConstructor) PyTorchPickle::parameter);
        globals.put(new Name("collections", "OrderedDict"), (IObjectConstructor) PyTorchPickle::orderedDict);
        for (DType type : DType.values()) {
            globals.put(new Name("torch", storageName(type)), new StorageType(type));
        }
        return Map.copyOf(globals);
    }

    /** What PyTorch calls a storage of that type. */
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

    /**
     * The object that a pickle describes, made of {@link Described}, maps, lists, {@code Object[]} for tuples, strings, numbers,
     * booleans, byte arrays and null. It may hold the same object twice, and itself.
     */
    static @Nullable Object read(String file, byte[] pickle) throws PyTorchException {
        PyTorchPickle reader = new PyTorchPickle(file, pickle);
        try {
            return reader.load(reader.bytes);
        } catch (PyTorchException e) {
            throw e;
        } catch (IOException | RuntimeException | StackOverflowError e) {
            // The unpickler meets nonsense with whatever its collections throw.
            throw new PyTorchException(file, "the pickle is not understood at byte " + (pickle.length - reader.bytes.available()) + " ("
                    + clean(String.valueOf(e.getMessage()), 200) + ")", "one that torch.save wrote", e);
        }
    }

    @Override
    protected Object dispatch(short key) throws IOException {
        if (++instructions > MAX_INSTRUCTIONS) {
            throw new PyTorchException(file, "the pickle has more than " + MAX_INSTRUCTIONS + " instructions", "fewer");
        }
        switch (key) {
            case Opcodes.GLOBAL -> stack.add(global(PickleUtils.readline(bytes), PickleUtils.readline(bytes)));
            case Opcodes.STACK_GLOBAL -> {
                Object name = stack.pop();
                stack.add(global(String.valueOf(stack.pop()), String.valueOf(name)));
            }
            case Opcodes.INST -> throw refused(PickleUtils.readline(bytes), PickleUtils.readline(bytes));
            case Opcodes.EMPTY_DICT -> stack.add(new LinkedHashMap<>());
            case Opcodes.SETITEM -> {
                Object value = stack.pop();
                put(stack.pop(), value);
            }
            case Opcodes.SETITEMS -> {
                List<Object> items = stack.pop_all_since_marker();
                for (int i = 0; i < items.size(); i += 2) {
                    Object value = items.get(i + 1);
                    put(items.get(i), value);
                }
            }
            case Opcodes.BUILD -> {
                // The attributes of an OrderedDict, such as a state dict's version numbers.
                Object attributes = stack.pop();
                if (!(stack.peek() instanceof Map)) {
                    throw unexpected("attributes (" + kind(attributes) + ") for " + kind(stack.peek()), "attributes of dicts only");
                }
            }
            case Opcodes.BINUNICODE, Opcodes.BINSTRING, Opcodes.BINBYTES -> whole(key, 4);
            case Opcodes.SHORT_BINUNICODE, Opcodes.SHORT_BINSTRING, Opcodes.SHORT_BINBYTES, Opcodes.LONG1 -> whole(key, 1);
            case Opcodes.BINUNICODE8, Opcodes.BINBYTES8 -> whole(key, 8);
            case Opcodes.PROTO, Opcodes.FRAME, Opcodes.STOP, Opcodes.MARK, Opcodes.POP, Opcodes.POP_MARK, Opcodes.NONE, Opcodes.NEWTRUE,
                    Opcodes.NEWFALSE, Opcodes.BININT, Opcodes.BININT1, Opcodes.BININT2, Opcodes.BINFLOAT, Opcodes.EMPTY_TUPLE,
                    Opcodes.TUPLE,
                    Opcodes.TUPLE1, Opcodes.TUPLE2, Opcodes.TUPLE3, Opcodes.EMPTY_LIST, Opcodes.APPEND, Opcodes.APPENDS, Opcodes.BINGET,
                    Opcodes.LONG_BINGET, Opcodes.BINPUT, Opcodes.LONG_BINPUT, Opcodes.MEMOIZE, Opcodes.REDUCE, Opcodes.BINPERSID -> {
                return super.dispatch(key);
            }
            default -> throw unexpected("instruction " + key + (key > ' ' && key < 127 ? " ('" + (char) key + "')" : ""),
                    "only what tensors in dicts, lists and tuples need");
        }
        return NO_RETURN_VALUE;
    }

    /** Runs an instruction that begins with the number of bytes it takes, if so many follow. */
    private void whole(short key, int width) throws IOException {
        bytes.mark(width);
        byte[] digits = PickleUtils.readbytes(bytes, width);
        bytes.reset();
        long count = 0;
        for (int i = width - 1; i >= 0; i--) {
            count = count << Byte.SIZE | Byte.toUnsignedLong(digits[i]);
        }
        if (count < 0 || count > bytes.available() - width) {
            throw unexpected("a text or number of " + Long.toUnsignedString(count) + " bytes", "one that ends with the pickle");
        }
        super.dispatch(key);
    }

    /** The only place where a name becomes an object. */
    private Object global(String module, String name) throws PyTorchException {
        Object known = GLOBALS.get(new Name(module, name));
        if (known == null) {
            throw refused(module, name);
        }
        return known;
    }

    private PyTorchException refused(String module, String name) {
        String what = clean(module + "." + name, 100);
        return new PyTorchException(file, "the pickle names '" + what + "', which is refused: a file may run code through such names",
                "nothing but tensors in dicts, lists and tuples: if you trust the file, keep only its weights, in Python: "
                + "torch.save(torch.load(FILE, weights_only=False)['ema'], NEW_FILE), or whichever key has them");
    }

    @SuppressWarnings("unchecked") // only dispatch makes maps, and puts into them what put lets in
    private void put(@Nullable Object key, @Nullable Object value) throws PyTorchException {
        if (!(stack.peek() instanceof Map<?, ?> map)) {
            throw unexpected("items for " + kind(stack.peek()), "items of dicts only");
        }
        if (!(key instanceof String || key instanceof Number || key instanceof Boolean)) {
            // Hashing a key that holds itself would not end.
            throw unexpected("a dict's key that is " + kind(key), "texts and numbers as keys");
        }
        ((Map<Object, @Nullable Object>) map).put(key, value);
    }

    @Override
    protected Object persistentLoad(@Nullable Object id) {
        if (id instanceof Object[] parts && parts.length == 5 && "storage".equals(parts[0]) && parts[1] instanceof StorageType type
                && parts[2] instanceof String key) {
            return new Storage(type.dtype, key, whole(parts[4]));
        }
        throw new IllegalArgumentException("a storage is described by " + kind(id) + " of another form than torch.save's");
    }

    /** {@code _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, metadata=None)}. */
    private static Object tensor(Object[] arguments) {
        if ((arguments.length == 6 || arguments.length == 7) && arguments[0] instanceof Storage storage) {
            return new Described(storage, whole(arguments[1]), wholes(arguments[2]), wholes(arguments[3]));
        }
        throw new IllegalArgumentException("a tensor is described by " + arguments.length + " values, the first "
                + kind(arguments.length == 0
                ? null : arguments[0]));
    }

    /** {@code _rebuild_parameter(data, requires_grad, backward_hooks)}. */
    private static Object parameter(Object[] arguments) {
        if (arguments.length == 3 && arguments[0] instanceof Described tensor) {
            return tensor;
        }
        throw new IllegalArgumentException("a parameter is described by " + arguments.length
                + " values that are not a tensor and two more");
    }

    private static Object orderedDict(Object[] arguments) {
        if (arguments.length == 0) {
            return new LinkedHashMap<>();
        }
        throw new IllegalArgumentException("an OrderedDict is made from " + arguments.length + " values instead of filled");
    }

    private static List<Long> wholes(@Nullable Object tuple) {
        if (!(tuple instanceof Object[] values) || values.length > SafetensorsHeader.MAX_DIMENSIONS) {
            throw new IllegalArgumentException("sizes or strides are " + kind(tuple) + ", not a tuple of at most "
                    + SafetensorsHeader.MAX_DIMENSIONS + " numbers");
        }
        List<Long> numbers = new ArrayList<>();
        for (Object value : values) {
            numbers.add(whole(value));
        }
        return List.copyOf(numbers);
    }

    private static long whole(@Nullable Object value) {
        if ((value instanceof Integer || value instanceof Long) && ((Number) value).longValue() >= 0) {
            return ((Number) value).longValue();
        }
        throw new IllegalArgumentException("a size, stride or offset is " + kind(value) + ", not a whole number from 0 on");
    }

    /** What an object is, in a few words. */
    static String kind(@Nullable Object value) {
        return switch (value) {
            case null -> "None";
            case String text -> "the text " + quote(text);
            case Integer number -> "the number " + number;
            case Long number -> "the number " + number;
            case Number number -> "a number";
            case Boolean truth -> "a truth value";
            case Object[] tuple -> "a tuple of " + tuple.length;
            case List<?> list -> "a list";
            case Map<?, ?> map -> "a dict";
            case Described tensor -> "a tensor";
            case Storage storage -> "a storage";
            default -> "something else";
        };
    }

    private PyTorchException unexpected(String found, String expected) {
        return new PyTorchException(file, "the pickle has " + found, expected);
    }
}
