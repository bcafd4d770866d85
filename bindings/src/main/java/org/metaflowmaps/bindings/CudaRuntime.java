package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Optional;

/**
 * The CUDA runtime's C API, as far as this project needs it. Without the library every method but
 * {@link #availability}, {@link #deviceCount} and {@link #noDeviceReason} throws {@link NativeLibraryException}; an
 * error that CUDA reports is a {@link CudaException}.
 */
public final class CudaRuntime {
    private static final SharedLibrary LIBRARY =
            SharedLibrary.find("The CUDA runtime", "cudart", "13", "cudart64_13.dll");
    private static final int COMPUTE_MAJOR = 75;
    private static final int COMPUTE_MINOR = 76;
    // Larger than any cudaDeviceProp so far; only its first field, the name, is read.
    private static final int PROPERTIES_BYTES = 8192;

    private CudaRuntime() {}

    /**
     * A GPU.
     *
     * @param index its number, from 0
     * @param name its product name
     * @param computeMajor first part of its compute capability
     * @param computeMinor second part
     */
    public record Device(int index, String name, int computeMajor, int computeMinor) {}

    /** Device memory in bytes, free and total. */
    public record Memory(long free, long total) {}

    /** Bound only where the library is present. */
    private static final class Functions {
        static final Ffm CUDART = LIBRARY.functions();
        static final FunctionDescriptor OF_ADDRESS = FunctionDescriptor.of(JAVA_INT, ADDRESS);
        static final MethodHandle DEVICE_COUNT = CUDART.bind("cudaGetDeviceCount", OF_ADDRESS);
        static final MethodHandle GET_DEVICE = CUDART.bind("cudaGetDevice", OF_ADDRESS);
        static final MethodHandle SET_DEVICE = CUDART.bind("cudaSetDevice", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
        static final MethodHandle PROPERTIES =
                CUDART.bind("cudaGetDeviceProperties", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
        static final MethodHandle ATTRIBUTE =
                CUDART.bind("cudaDeviceGetAttribute", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT));
        static final MethodHandle MEMORY =
                CUDART.bind("cudaMemGetInfo", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS));
        static final MethodHandle RUNTIME_VERSION = CUDART.bind("cudaRuntimeGetVersion", OF_ADDRESS);
        static final MethodHandle DRIVER_VERSION = CUDART.bind("cudaDriverGetVersion", OF_ADDRESS);
        static final MethodHandle ERROR_NAME =
                CUDART.bind("cudaGetErrorName", FunctionDescriptor.of(Ffm.C_STRING, JAVA_INT));
        static final MethodHandle ERROR_TEXT =
                CUDART.bind("cudaGetErrorString", FunctionDescriptor.of(Ffm.C_STRING, JAVA_INT));
        static final MethodHandle LAST_ERROR = CUDART.bind("cudaGetLastError", FunctionDescriptor.of(JAVA_INT));
        static final MethodHandle SYNCHRONIZE =
                CUDART.bind("cudaStreamSynchronize", FunctionDescriptor.of(JAVA_INT, JAVA_LONG));
        static final MethodHandle REGISTER =
                CUDART.bind("cudaHostRegister", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));
        static final MethodHandle UNREGISTER = CUDART.bind("cudaHostUnregister", OF_ADDRESS);
    }

    /** Bound when a window of profiling begins. */
    private static final class Profiler {
        static final MethodHandle SYNCHRONIZE =
                Functions.CUDART.bind("cudaDeviceSynchronize", FunctionDescriptor.of(JAVA_INT));
        static final MethodHandle START = Functions.CUDART.bind("cudaProfilerStart", FunctionDescriptor.of(JAVA_INT));
        static final MethodHandle STOP = Functions.CUDART.bind("cudaProfilerStop", FunctionDescriptor.of(JAVA_INT));
    }

    /** Whether the library was found; a driver and a device may still be missing. */
    public static Availability availability() {
        return LIBRARY.availability();
    }

    /**
     * Returns the number of usable devices ({@code cudaGetDeviceCount}); 0 if the library, a driver or a device is
     * missing.
     */
    public static int deviceCount() {
        if (!LIBRARY.availability().present()) {
            return 0;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment count = arena.allocate(JAVA_INT);
            return countDevices(count) == 0 ? count.get(JAVA_INT, 0) : 0;
        }
    }

    /** Returns why {@link #deviceCount} is 0, as a sentence for the user; empty if there is a device. */
    public static Optional<String> noDeviceReason() {
        if (LIBRARY.availability() instanceof Availability.Missing missing) {
            return Optional.of(missing.reason());
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment count = arena.allocate(JAVA_INT);
            int error = countDevices(count);
            if (error != 0) {
                return Optional.of("cudaGetDeviceCount: " + errorText(error));
            }
            return count.get(JAVA_INT, 0) > 0 ? Optional.empty() : Optional.of("The driver reports no CUDA device");
        }
    }

    /**
     * Returns a device's name and compute capability ({@code cudaGetDeviceProperties}, {@code cudaDeviceGetAttribute}).
     */
    public static Device device(int index) {
        LIBRARY.functions();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment properties = arena.allocate(PROPERTIES_BYTES, 16);
            check((int) Functions.PROPERTIES.invokeExact(properties, index), "cudaGetDeviceProperties");
            return new Device(
                    index,
                    properties.getString(0),
                    attribute(arena, COMPUTE_MAJOR, index),
                    attribute(arena, COMPUTE_MINOR, index));
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** A device's memory ({@code cudaMemGetInfo}); creates a context on the device if it has none. */
    public static Memory memory(int index) {
        LIBRARY.functions();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment before = arena.allocate(JAVA_INT);
            MemorySegment free = arena.allocate(JAVA_LONG);
            MemorySegment total = arena.allocate(JAVA_LONG);
            check((int) Functions.GET_DEVICE.invokeExact(before), "cudaGetDevice");
            check((int) Functions.SET_DEVICE.invokeExact(index), "cudaSetDevice");
            try {
                check((int) Functions.MEMORY.invokeExact(free, total), "cudaMemGetInfo");
            } finally {
                check((int) Functions.SET_DEVICE.invokeExact(before.get(JAVA_INT, 0)), "cudaSetDevice");
            }
            return new Memory(free.get(JAVA_LONG, 0), total.get(JAVA_LONG, 0));
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** The library's version as 1000·major + 10·minor ({@code cudaRuntimeGetVersion}). */
    public static int runtimeVersion() {
        LIBRARY.functions();
        return version(Functions.RUNTIME_VERSION, "cudaRuntimeGetVersion");
    }

    /** The newest CUDA version that the driver supports, as 1000·major + 10·minor; 0 without a driver. */
    public static int driverVersion() {
        LIBRARY.functions();
        return version(Functions.DRIVER_VERSION, "cudaDriverGetVersion");
    }

    /** Name and description of a {@code cudaError_t}. */
    public static String errorText(int code) {
        LIBRARY.functions();
        try {
            MemorySegment name = (MemorySegment) Functions.ERROR_NAME.invokeExact(code);
            MemorySegment text = (MemorySegment) Functions.ERROR_TEXT.invokeExact(code);
            return name.getString(0) + " (" + code + "): " + text.getString(0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Waits until all work on a stream is done ({@code cudaStreamSynchronize}); 0 is the default stream. */
    public static void synchronize(long stream) {
        LIBRARY.functions();
        try {
            check((int) Functions.SYNCHRONIZE.invokeExact(stream), "cudaStreamSynchronize");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /**
     * Waits for the current device, then begins what a profiler with {@code --capture-range=cudaProfilerApi} records
     * ({@code cudaProfilerStart}).
     */
    public static void startProfiler() {
        LIBRARY.functions();
        try {
            check((int) Profiler.SYNCHRONIZE.invokeExact(), "cudaDeviceSynchronize");
            check((int) Profiler.START.invokeExact(), "cudaProfilerStart");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Waits for the current device, then ends what {@link #startProfiler} began ({@code cudaProfilerStop}). */
    public static void stopProfiler() {
        LIBRARY.functions();
        try {
            check((int) Profiler.SYNCHRONIZE.invokeExact(), "cudaDeviceSynchronize");
            check((int) Profiler.STOP.invokeExact(), "cudaProfilerStop");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /**
     * Page-locks memory, so that copies to and from devices run asynchronously ({@code cudaHostRegister}, default
     * flags).
     *
     * @param memory native memory; must be unregistered before it is freed
     */
    public static void hostRegister(MemorySegment memory) {
        LIBRARY.functions();
        if (!memory.isNative() || memory.byteSize() == 0) {
            throw new IllegalArgumentException("Expected native memory of at least one byte, got " + memory);
        }
        try {
            check((int) Functions.REGISTER.invokeExact(memory, memory.byteSize(), 0), "cudaHostRegister");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Undoes {@link #hostRegister} ({@code cudaHostUnregister}). */
    public static void hostUnregister(MemorySegment memory) {
        LIBRARY.functions();
        if (!memory.isNative()) {
            throw new IllegalArgumentException("Expected native memory, got " + memory);
        }
        try {
            check((int) Functions.UNREGISTER.invokeExact(memory), "cudaHostUnregister");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    private static int countDevices(MemorySegment count) {
        try {
            int error = (int) Functions.DEVICE_COUNT.invokeExact(count);
            return error == 0 ? 0 : forget(error);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    private static int attribute(Arena arena, int attribute, int device) throws Throwable {
        MemorySegment value = arena.allocate(JAVA_INT);
        check((int) Functions.ATTRIBUTE.invokeExact(value, attribute, device), "cudaDeviceGetAttribute");
        return value.get(JAVA_INT, 0);
    }

    private static int version(MethodHandle function, String name) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment version = arena.allocate(JAVA_INT);
            check((int) function.invokeExact(version), name);
            return version.get(JAVA_INT, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** The functions of the library, for other classes of this package. */
    static Ffm functions() {
        return LIBRARY.functions();
    }

    static void check(int error, String function) throws Throwable {
        if (error != 0) {
            throw new CudaException(function + ": " + errorText(forget(error)), error);
        }
    }

    // Clears CUDA's last error of this thread; otherwise libtorch would report it after its next kernel.
    static int forget(int error) throws Throwable {
        int last = (int) Functions.LAST_ERROR.invokeExact();
        return error != 0 ? error : last;
    }
}
