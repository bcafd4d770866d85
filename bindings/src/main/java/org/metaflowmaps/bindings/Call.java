package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * One call of an {@link Operator}: its arguments, given in the schema's order, then an {@code invoke} method.
 *
 * <p>Each method sets the next argument and throws {@link IllegalArgumentException} if the schema expects another type
 * there. An optional argument also accepts a plain value. The caller keeps its tensor handles and must not delete them
 * before the call returns. A call can be invoked once, on the thread that began it.
 */
public final class Call {
    private static final ThreadLocal<Pool> POOL = ThreadLocal.withInitial(Pool::new);
    private static final Object ABSENT = new Object();

    private final Pool home;
    private final MemorySegment stack = Arena.ofAuto().allocate(8L * Operator.MOST_SLOTS, 8);
    private final long[] bits = new long[Operator.MOST_SLOTS];
    // A list's long[], a String, or ABSENT for none; null if the value is in bits.
    private final @Nullable Object[] objects = new @Nullable Object[Operator.MOST_SLOTS];
    private @Nullable Operator operator;
    private @Nullable Call next;
    private int count;

    private Call(Pool home) {
        this.home = home;
    }

    /** Finished calls of one thread, kept for reuse. */
    private static final class Pool {
        private final Thread thread = Thread.currentThread();
        private @Nullable Call free;
    }

    static Call begin(Operator operator) {
        Pool pool = POOL.get();
        Call call = pool.free;
        if (call == null) {
            call = new Call(pool);
        } else {
            pool.free = call.next;
        }
        call.operator = operator;
        call.count = 0;
        return call;
    }

    /** A tensor, by its handle. */
    public Call tensor(long handle) {
        if (handle == 0) {
            throw new IllegalArgumentException(
                    "The tensor handle for " + place() + " is null: the tensor is closed or was never"
                            + " made; for an absent optional tensor call none()");
        }
        return put(Slot.Kind.TENSOR, handle);
    }

    /** An optional tensor, by its handle; 0 for none. */
    public Call optionalTensor(long handleOrZero) {
        return handleOrZero == 0 ? none() : tensor(handleOrZero);
    }

    /** An integer ({@code int} or {@code SymInt}). */
    public Call int64(long value) {
        return put(Slot.Kind.INT, value);
    }

    /** An optional integer. */
    public Call optionalInt64(OptionalLong value) {
        return value.isEmpty() ? none() : int64(value.getAsLong());
    }

    /** A floating-point number ({@code float}, which is a C double). */
    public Call float64(double value) {
        return put(Slot.Kind.FLOAT, Double.doubleToRawLongBits(value));
    }

    /** An optional floating-point number. */
    public Call optionalFloat64(OptionalDouble value) {
        return value.isEmpty() ? none() : float64(value.getAsDouble());
    }

    /** A truth value. */
    public Call bool(boolean value) {
        return put(Slot.Kind.BOOL, value ? 1 : 0);
    }

    /** An element type, by the codes of {@code aoti_torch_dtype_*}. */
    public Call scalarType(int code) {
        int checked = ScalarTypes.bytes(code) > 0 ? code : 0;
        return put(Slot.Kind.SCALAR_TYPE, checked);
    }

    /** An optional element type. */
    public Call optionalScalarType(OptionalInt code) {
        return code.isEmpty() ? none() : scalarType(code.getAsInt());
    }

    /** A device: its kind (0 the CPU, 1 CUDA) and its index among devices of that kind, -1 for the current one. */
    public Call device(int type, int index) {
        if (type < 0 || type > Byte.MAX_VALUE || index < -1 || index > Byte.MAX_VALUE) {
            throw new IllegalArgumentException("There is no device of type " + type + " and index " + index
                    + ", given for " + place() + ": expected a type from 0 and an index from -1, both up to 127");
        }
        return put(Slot.Kind.DEVICE, ((long) type << 32) | (index & 0xffff_ffffL));
    }

    /** A layout, by the codes of {@code aoti_torch_layout_*}; 0 is strided. */
    public Call layout(int code) {
        return put(Slot.Kind.LAYOUT, requireCode(code, 7, "layout"));
    }

    /**
     * A memory format, by the codes of {@code aoti_torch_memory_format_*}: 0 contiguous, 1 preserve, 2 channels last.
     */
    public Call memoryFormat(int code) {
        return put(Slot.Kind.MEMORY_FORMAT, requireCode(code, 3, "memory format"));
    }

    /** A list of integers; the array must not change before the call returns. */
    public Call int64List(long... values) {
        return putList(Slot.Kind.INT, values);
    }

    /** A list of tensors, by their handles; 0 means no tensor where the schema has a list of optional tensors. */
    public Call tensorList(long... handles) {
        Slot slot = slot("a tensor list");
        for (long handle : handles) {
            if (handle == 0 && !slot.optionalElements()) {
                throw new IllegalArgumentException("A tensor handle in the list for " + place()
                        + " is null: the tensor is closed or was never made");
            }
        }
        return putList(Slot.Kind.TENSOR, handles);
    }

    /**
     * A string. libtorch 2.13 leaks a copy of every string passed this way, about 50 bytes
     * ({@code ToImpl<std::string>}), so call an operator with a string through JavaCPP if it runs at every step.
     */
    public Call string(String value) {
        Slot slot = slot("a string");
        require(slot, Slot.Kind.STRING, false);
        objects[count++] = value;
        return this;
    }

    /** None, for an optional argument of any type. */
    public Call none() {
        if (!slot("none").optional()) {
            throw new IllegalArgumentException("None was given for " + place() + ", which is not optional");
        }
        objects[count++] = ABSENT;
        return this;
    }

    /**
     * Makes the call.
     *
     * @return the operator's one result, a new tensor handle that the caller owns
     * @throws IllegalArgumentException if arguments are missing, or the result is not one tensor
     * @throws LibtorchException if the operator fails
     */
    public long invoke() {
        Operator called = current();
        if (called.outputs() != 1 || !called.result(0).isTensor()) {
            throw new IllegalArgumentException(called + " does not return one tensor: use invokeAll or invokeVoid");
        }
        run(called);
        long result = stack.get(JAVA_LONG, 0);
        recycle();
        return result;
    }

    /**
     * Makes the call.
     *
     * @return the slots of all results, in order: a tensor's handle, a list of tensors for
     *     {@link Operator#takeTensorList}, or a number's bits; the caller owns the contents
     * @throws IllegalArgumentException if arguments are missing
     * @throws LibtorchException if the operator fails
     */
    public long[] invokeAll() {
        Operator called = current();
        run(called);
        long[] results = stack.asSlice(0, 8L * called.outputs()).toArray(JAVA_LONG);
        recycle();
        return results;
    }

    /**
     * Makes the call and frees its results, if any; for operators that work in place.
     *
     * @throws IllegalArgumentException if arguments are missing
     * @throws LibtorchException if the operator fails
     */
    public void invokeVoid() {
        invokeFirst(0);
    }

    /**
     * Makes the call and frees all results after the first ones.
     *
     * @param kept number of results to return, at most the operator's
     * @return as of {@link #invokeAll}
     * @throws IllegalArgumentException if arguments are missing, or the operator has fewer results
     * @throws LibtorchException if the operator fails
     */
    public long[] invokeFirst(int kept) {
        Operator called = current();
        if (kept < 0 || kept > called.outputs()) {
            throw new IllegalArgumentException(
                    called + " returns " + called.outputs() + " results, but " + kept + " were asked for");
        }
        long[] results = invokeAll();
        for (int i = kept; i < results.length; i++) {
            StableValues.release(called.result(i), results[i]);
        }
        return Arrays.copyOf(results, kept);
    }

    private void run(Operator called) {
        if (count != called.inputs()) {
            throw new IllegalArgumentException(called + " takes " + called.inputs() + " arguments, got " + count + ";"
                    + " the next is " + called.argumentText(count));
        }
        if (home.thread != Thread.currentThread()) {
            throw new IllegalStateException(
                    "A call of " + called + " that " + home.thread + " began was invoked by " + Thread.currentThread());
        }
        int made = 0;
        try {
            for (; made < count; made++) {
                stack.setAtIndex(JAVA_LONG, made, materialise(called.argument(made), made));
            }
        } catch (RuntimeException e) {
            while (made-- > 0) {
                StableValues.release(called.argument(made), stack.getAtIndex(JAVA_LONG, made));
            }
            throw e;
        }
        try {
            called.invoke(stack);
        } catch (LibtorchException e) {
            recycle();
            throw e;
        }
    }

    private long materialise(Slot slot, int index) {
        Object object = objects[index];
        if (object == ABSENT) {
            return 0;
        }
        long value;
        if (object instanceof long[] elements) {
            value = StableValues.list(slot, elements);
        } else if (object instanceof String text) {
            value = StableValues.string(text);
        } else {
            value = StableValues.single(slot, bits[index]);
        }
        return slot.optional() ? StableValues.box(value) : value;
    }

    private void recycle() {
        operator = null;
        next = home.free;
        home.free = this;
    }

    private Call put(Slot.Kind kind, long value) {
        require(slot(kind.toString()), kind, false);
        objects[count] = null;
        bits[count++] = value;
        return this;
    }

    private Call putList(Slot.Kind kind, long[] values) {
        require(slot(kind.toString()), kind, true);
        objects[count++] = values;
        return this;
    }

    private void require(Slot slot, Slot.Kind kind, boolean list) {
        if (slot.kind() != kind || slot.list() != list) {
            throw new IllegalArgumentException(place() + " was given a value of type " + kind + (list ? " list" : ""));
        }
    }

    private static int requireCode(int code, int most, String what) {
        if (code < 0 || code > most) {
            throw new IllegalArgumentException("Code " + code + " is not a valid " + what + ": expected 0 to " + most);
        }
        return code;
    }

    private Slot slot(String given) {
        Operator called = current();
        if (count == called.inputs()) {
            throw new IllegalArgumentException(called + " takes " + count + " arguments, got one more: " + given);
        }
        return called.argument(count);
    }

    private Operator current() {
        Operator called = operator;
        if (called == null) {
            throw new IllegalStateException("This call was invoked already: begin another with Operator.call()");
        }
        return called;
    }

    private String place() {
        Operator called = current();
        return called + (count < called.inputs() ? " " + called.argumentText(count) : " after its last argument");
    }
}
