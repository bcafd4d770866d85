package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BOOLEAN;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * libtorch's stable C ABI over raw tensor handles ({@code AtenTensorHandle}, an address; also what a JavaCPP
 * {@code Tensor.address()} is).
 *
 * <p>The caller that made a handle owns it and deletes it once, with {@link #delete}. Only a zero handle is checked
 * here; using a deleted one is undefined behaviour, as in C. Every method throws {@link LibtorchException} with
 * libtorch's message if the C function reports an error.
 */
public final class StableAbi {
    private static final Ffm LIBTORCH = Libtorch.functions();

    // These are short, never block and never call back, so they skip the thread state transition, which is most of
    // their cost.
    private static final Linker.Option LEAF = Linker.Option.critical(false);

    private static final MethodHandle NUMEL = getter("aoti_torch_get_numel", LEAF);
    private static final MethodHandle DIM = getter("aoti_torch_get_dim", LEAF);
    private static final MethodHandle SIZES = getter("aoti_torch_get_sizes", LEAF);
    private static final MethodHandle STRIDES = getter("aoti_torch_get_strides", LEAF);
    private static final MethodHandle DTYPE = getter("aoti_torch_get_dtype", LEAF);
    private static final MethodHandle DEVICE_TYPE = getter("aoti_torch_get_device_type", LEAF);
    private static final MethodHandle DEVICE_INDEX = getter("aoti_torch_get_device_index", LEAF);
    private static final MethodHandle STORAGE_BYTES = getter("aoti_torch_get_storage_size", LEAF);
    private static final MethodHandle STORAGE_OFFSET = getter("aoti_torch_get_storage_offset", LEAF);
    private static final MethodHandle IS_CONTIGUOUS = getter("aoti_torch_is_contiguous", LEAF);
    // May copy a lazily shared storage.
    private static final MethodHandle DATA_POINTER = getter("aoti_torch_get_data_ptr");
    private static final MethodHandle NEW_HANDLE = getter("aoti_torch_new_tensor_handle");
    // May call a Java deleter.
    private static final MethodHandle DELETE =
            LIBTORCH.bind("aoti_torch_delete_tensor_object", FunctionDescriptor.of(JAVA_INT, JAVA_LONG));
    private static final MethodHandle GRAD_ENABLED =
            LIBTORCH.bind("aoti_torch_grad_mode_is_enabled", FunctionDescriptor.of(JAVA_BOOLEAN), LEAF);
    private static final MethodHandle SET_GRAD_ENABLED =
            LIBTORCH.bind("aoti_torch_grad_mode_set_enabled", FunctionDescriptor.ofVoid(JAVA_BOOLEAN), LEAF);
    private static final MethodHandle WHAT =
            LIBTORCH.bind("torch_exception_get_what_without_backtrace", FunctionDescriptor.of(Ffm.C_STRING));

    private StableAbi() {}

    /** A new handle to the same tensor, owned by the caller ({@code aoti_torch_new_tensor_handle}). */
    public static long newHandle(long tensor) {
        return longOf(NEW_HANDLE, tensor, "aoti_torch_new_tensor_handle");
    }

    /** Deletes a handle ({@code aoti_torch_delete_tensor_object}); the last handle frees the tensor. */
    public static void delete(long tensor) {
        int error;
        try {
            error = (int) DELETE.invokeExact(checked(tensor));
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
        check(error, "aoti_torch_delete_tensor_object");
    }

    /** Number of elements ({@code aoti_torch_get_numel}). */
    public static long numel(long tensor) {
        return longOf(NUMEL, tensor, "aoti_torch_get_numel");
    }

    /** Number of dimensions ({@code aoti_torch_get_dim}). */
    public static int dim(long tensor) {
        return Math.toIntExact(longOf(DIM, tensor, "aoti_torch_get_dim"));
    }

    /** Returns the size of each dimension in a new array ({@code aoti_torch_get_sizes}). */
    public static long[] sizes(long tensor) {
        return longsOf(SIZES, tensor, "aoti_torch_get_sizes");
    }

    /** Returns the stride of each dimension in elements, in a new array ({@code aoti_torch_get_strides}). */
    public static long[] strides(long tensor) {
        return longsOf(STRIDES, tensor, "aoti_torch_get_strides");
    }

    /** Code of the element type, as {@code aoti_torch_dtype_*} give it ({@code aoti_torch_get_dtype}). */
    public static int dtype(long tensor) {
        return intOf(DTYPE, tensor, "aoti_torch_get_dtype");
    }

    /** Code of the kind of device: 0 the CPU, 1 CUDA ({@code aoti_torch_get_device_type}). */
    public static int deviceType(long tensor) {
        return intOf(DEVICE_TYPE, tensor, "aoti_torch_get_device_type");
    }

    /** Index among devices of its kind; -1 for the CPU ({@code aoti_torch_get_device_index}). */
    public static int deviceIndex(long tensor) {
        return intOf(DEVICE_INDEX, tensor, "aoti_torch_get_device_index");
    }

    /**
     * Returns the address of the first element, on the tensor's device ({@code aoti_torch_get_data_ptr}); the tensor
     * owns it.
     */
    public static long dataPointer(long tensor) {
        return longOf(DATA_POINTER, tensor, "aoti_torch_get_data_ptr");
    }

    /** Bytes of the whole storage under the tensor ({@code aoti_torch_get_storage_size}). */
    public static long storageBytes(long tensor) {
        return longOf(STORAGE_BYTES, tensor, "aoti_torch_get_storage_size");
    }

    /** Returns the tensor's offset in its storage, in elements ({@code aoti_torch_get_storage_offset}). */
    public static long storageOffset(long tensor) {
        return longOf(STORAGE_OFFSET, tensor, "aoti_torch_get_storage_offset");
    }

    /** Returns whether the elements are in row-major order without gaps ({@code aoti_torch_is_contiguous}). */
    public static boolean isContiguous(long tensor) {
        MemorySegment out = Scratch.slot();
        fill(IS_CONTIGUOUS, tensor, out, "aoti_torch_is_contiguous");
        return out.get(JAVA_BOOLEAN, 0);
    }

    /**
     * Returns a tensor over the caller's memory, without a copy ({@code torch_from_blob}).
     *
     * @param data native memory with room for all elements that {@code sizes} and {@code strides} reach; for another
     *     device than the CPU, an address there. The caller keeps it allocated while any tensor uses it
     * @param sizes sizes, none negative
     * @param strides strides in elements, none negative, as many as sizes
     * @return a new handle, owned by the caller
     * @throws IllegalArgumentException if an argument breaks these rules
     */
    public static long fromBlob(
            MemorySegment data, long[] sizes, long[] strides, int dtype, int deviceType, int deviceIndex) {
        return Blobs.create(data, sizes, strides, dtype, deviceType, deviceIndex, null);
    }

    /**
     * As {@link #fromBlob(MemorySegment, long[], long[], int, int, int)}, and runs an action when no tensor uses the
     * memory any more.
     *
     * @param deleter run once, when the last tensor over the memory is freed, on the thread that frees it; it must not
     *     call libtorch. Its exceptions are logged. Not run if this method throws
     */
    public static long fromBlob(
            MemorySegment data,
            long[] sizes,
            long[] strides,
            int dtype,
            int deviceType,
            int deviceIndex,
            Runnable deleter) {
        return Blobs.create(data, sizes, strides, dtype, deviceType, deviceIndex, deleter);
    }

    /** Whether this thread records operations for autograd ({@code aoti_torch_grad_mode_is_enabled}). */
    public static boolean gradEnabled() {
        try {
            return (boolean) GRAD_ENABLED.invokeExact();
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Turns autograd's recording on or off for this thread ({@code aoti_torch_grad_mode_set_enabled}). */
    public static void setGradEnabled(boolean enabled) {
        try {
            SET_GRAD_ENABLED.invokeExact(enabled);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Turns a C error code into an exception with libtorch's text; {@code what} is the function or operator called. */
    static void check(int error, String what) {
        if (error != 0) {
            throw failure(what);
        }
    }

    private static LibtorchException failure(String what) {
        String text;
        try {
            text = ((MemorySegment) WHAT.invokeExact()).getString(0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
        return new LibtorchException(what + ": " + LibtorchText.sentence(text));
    }

    private static long checked(long tensor) {
        if (tensor == 0) {
            throw new IllegalArgumentException("The tensor handle is null: the tensor is closed or was never made");
        }
        return tensor;
    }

    private static MethodHandle getter(String name, Linker.Option... options) {
        return LIBTORCH.bind(name, FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS), options);
    }

    private static void fill(MethodHandle getter, long tensor, MemorySegment out, String name) {
        int error;
        try {
            error = (int) getter.invokeExact(checked(tensor), out);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
        check(error, name);
    }

    private static long longOf(MethodHandle getter, long tensor, String name) {
        MemorySegment out = Scratch.slot();
        fill(getter, tensor, out, name);
        return out.get(JAVA_LONG, 0);
    }

    private static int intOf(MethodHandle getter, long tensor, String name) {
        MemorySegment out = Scratch.slot();
        fill(getter, tensor, out, name);
        return out.get(JAVA_INT, 0);
    }

    private static long[] longsOf(MethodHandle getter, long tensor, String name) {
        int dim = dim(tensor);
        long address = longOf(getter, tensor, name);
        return dim == 0
                ? new long[0]
                : MemorySegment.ofAddress(address).reinterpret(8L * dim).toArray(JAVA_LONG);
    }
}
