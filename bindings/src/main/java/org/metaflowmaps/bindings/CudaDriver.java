package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * The CUDA driver's C API for loading and launching kernels. It works in the calling thread's current context; a
 * libtorch operation or a runtime call on the device makes libtorch's context current.
 *
 * <p>Without the library every method but {@link #availability} throws {@link NativeLibraryException}; an error that
 * CUDA reports is a {@link CudaException}.
 */
public final class CudaDriver {
    private static final SharedLibrary LIBRARY = SharedLibrary.find("The CUDA driver", "cuda", "1", "nvcuda.dll");

    private CudaDriver() {}

    /** Bound only where the library is present. */
    private static final class Functions {
        static final Ffm DRIVER = LIBRARY.functions();
        static final MethodHandle INIT = DRIVER.bind("cuInit", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
        static final MethodHandle ERROR_NAME =
                DRIVER.bind("cuGetErrorName", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS));
        static final MethodHandle LOAD =
                DRIVER.bind("cuModuleLoadData", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS));
        static final MethodHandle FUNCTION =
                DRIVER.bind("cuModuleGetFunction", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, ADDRESS));
        static final MethodHandle UNLOAD = DRIVER.bind("cuModuleUnload", FunctionDescriptor.of(JAVA_INT, JAVA_LONG));
        static final MethodHandle LAUNCH = DRIVER.bind(
                "cuLaunchKernel",
                FunctionDescriptor.of(
                        JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT,
                        JAVA_LONG, ADDRESS, ADDRESS));
        static final MethodHandle GET_DEVICE =
                DRIVER.bind("cuDeviceGet", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
        static final MethodHandle RETAIN_PRIMARY =
                DRIVER.bind("cuDevicePrimaryCtxRetain", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
        static final MethodHandle PUSH = DRIVER.bind("cuCtxPushCurrent_v2", FunctionDescriptor.of(JAVA_INT, JAVA_LONG));
        static final MethodHandle POP = DRIVER.bind("cuCtxPopCurrent_v2", FunctionDescriptor.of(JAVA_INT, ADDRESS));
    }

    /** Whether the library was found. */
    public static Availability availability() {
        return LIBRARY.availability();
    }

    /** Initialises the driver ({@code cuInit}); further calls cost nothing. */
    public static void initialise() {
        LIBRARY.functions();
        try {
            check((int) Functions.INIT.invokeExact(0), "cuInit");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /**
     * Returns the context of a device that libtorch and the CUDA runtime share, and keeps it until the process ends
     * ({@code cuDevicePrimaryCtxRetain}).
     */
    public static long primaryContext(int index) {
        initialise();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment device = arena.allocate(JAVA_INT);
            check((int) Functions.GET_DEVICE.invokeExact(device, index), "cuDeviceGet(" + index + ")");
            MemorySegment context = arena.allocate(JAVA_LONG);
            check(
                    (int) Functions.RETAIN_PRIMARY.invokeExact(context, device.get(JAVA_INT, 0)),
                    "cuDevicePrimaryCtxRetain");
            return context.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Makes a context current on this thread until {@link #popContext} ({@code cuCtxPushCurrent}). */
    public static void pushContext(long context) {
        LIBRARY.functions();
        try {
            check((int) Functions.PUSH.invokeExact(requireHandle(context, "context")), "cuCtxPushCurrent");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Restores the context that was current before {@link #pushContext} ({@code cuCtxPopCurrent}). */
    public static void popContext() {
        LIBRARY.functions();
        try {
            check((int) Functions.POP.invokeExact(Scratch.slot()), "cuCtxPopCurrent");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /**
     * Loads a compiled module into the current context ({@code cuModuleLoadData}).
     *
     * @param image a cubin, or PTX text
     * @return the module; release it with {@link #unload}
     */
    public static long load(byte[] image) {
        LIBRARY.functions();
        try (Arena arena = Arena.ofConfined()) {
            // One extra zero byte, because PTX is read as a C string.
            MemorySegment data = arena.allocate(image.length + 1L, 16);
            data.copyFrom(MemorySegment.ofArray(image));
            MemorySegment module = arena.allocate(JAVA_LONG);
            check((int) Functions.LOAD.invokeExact(module, data), "cuModuleLoadData");
            return module.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** A kernel of a module, by its (mangled) name ({@code cuModuleGetFunction}); lives as long as the module. */
    public static long function(long module, String name) {
        LIBRARY.functions();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment function = arena.allocate(JAVA_LONG);
            int error = (int)
                    Functions.FUNCTION.invokeExact(function, requireHandle(module, "module"), arena.allocateFrom(name));
            check(error, "cuModuleGetFunction(" + name + ")");
            return function.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /**
     * Launches a kernel ({@code cuLaunchKernel}); returns before it has run.
     *
     * @param function from {@link #function}
     * @param grid blocks along x, y and z
     * @param block threads of a block along x, y and z
     * @param sharedBytes dynamic shared memory of a block
     * @param stream a {@code cudaStream_t}; 0 is the default stream
     * @param arguments an array in native memory with one address per parameter of the kernel, where the parameter's
     *     value is; read before this method returns
     */
    public static void launch(
            long function, Size grid, Size block, int sharedBytes, long stream, MemorySegment arguments) {
        LIBRARY.functions();
        try {
            check(
                    (int) Functions.LAUNCH.invokeExact(
                            requireHandle(function, "function"),
                            grid.x(),
                            grid.y(),
                            grid.z(),
                            block.x(),
                            block.y(),
                            block.z(),
                            sharedBytes,
                            stream,
                            arguments,
                            MemorySegment.NULL),
                    "cuLaunchKernel");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Extent of a grid in blocks, or of a block in threads; each at least 1. */
    public record Size(int x, int y, int z) {
        /** Checks the extent. */
        public Size {
            if (x < 1 || y < 1 || z < 1) {
                throw new IllegalArgumentException(
                        "Expected an extent of at least 1 in each direction, got " + x + "×" + y + "×" + z);
            }
        }
    }

    /** Unloads a module ({@code cuModuleUnload}); its kernels must have run. */
    public static void unload(long module) {
        LIBRARY.functions();
        try {
            check((int) Functions.UNLOAD.invokeExact(requireHandle(module, "module")), "cuModuleUnload");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Name of a {@code CUresult} ({@code cuGetErrorName}). */
    public static String errorName(int code) {
        LIBRARY.functions();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment name = arena.allocate(Ffm.C_STRING);
            int error = (int) Functions.ERROR_NAME.invokeExact(code, name);
            return error == 0 ? name.get(Ffm.C_STRING, 0).getString(0) : "unknown CUDA error " + code;
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    private static long requireHandle(long handle, String what) {
        if (handle == 0) {
            throw new IllegalArgumentException("The " + what + " is null");
        }
        return handle;
    }

    private static void check(int error, String function) {
        if (error != 0) {
            throw new CudaException(function + ": " + errorName(error) + " (" + error + ")", error);
        }
    }
}
