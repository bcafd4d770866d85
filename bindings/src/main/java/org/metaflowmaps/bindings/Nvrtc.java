package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * NVRTC, the compiler of CUDA C++ at run time. Without the library every method but {@link #availability} throws
 * {@link NativeLibraryException}.
 */
public final class Nvrtc {
    private static final SharedLibrary LIBRARY = SharedLibrary.find("NVRTC", "nvrtc", "13", "nvrtc64_130_0.dll");

    private Nvrtc() {}

    /** Bound only where the library is present. */
    private static final class Functions {
        static final Ffm NVRTC = LIBRARY.functions();
        static final FunctionDescriptor READ = FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS);
        static final MethodHandle VERSION =
                NVRTC.bind("nvrtcVersion", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS));
        static final MethodHandle ERROR_TEXT =
                NVRTC.bind("nvrtcGetErrorString", FunctionDescriptor.of(Ffm.C_STRING, JAVA_INT));
        static final MethodHandle CREATE = NVRTC.bind(
                "nvrtcCreateProgram",
                FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, ADDRESS, JAVA_INT, ADDRESS, ADDRESS));
        static final MethodHandle COMPILE =
                NVRTC.bind("nvrtcCompileProgram", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_INT, ADDRESS));
        static final MethodHandle DESTROY = NVRTC.bind("nvrtcDestroyProgram", FunctionDescriptor.of(JAVA_INT, ADDRESS));
        static final MethodHandle LOG_SIZE = NVRTC.bind("nvrtcGetProgramLogSize", READ);
        static final MethodHandle LOG = NVRTC.bind("nvrtcGetProgramLog", READ);
        static final MethodHandle CUBIN_SIZE = NVRTC.bind("nvrtcGetCUBINSize", READ);
        static final MethodHandle CUBIN = NVRTC.bind("nvrtcGetCUBIN", READ);
        static final MethodHandle PTX_SIZE = NVRTC.bind("nvrtcGetPTXSize", READ);
        static final MethodHandle PTX = NVRTC.bind("nvrtcGetPTX", READ);
    }

    /** Whether the library was found. */
    public static Availability availability() {
        return LIBRARY.availability();
    }

    /** The library's version, such as {@code "13.0"} ({@code nvrtcVersion}). */
    public static String version() {
        LIBRARY.functions();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment major = arena.allocate(JAVA_INT);
            MemorySegment minor = arena.allocate(JAVA_INT);
            check((int) Functions.VERSION.invokeExact(major, minor), "nvrtcVersion");
            return major.get(JAVA_INT, 0) + "." + minor.get(JAVA_INT, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /**
     * Compiles CUDA C++ ({@code nvrtcCompileProgram}).
     *
     * @param source the program
     * @param name what messages call it, such as {@code "adamw.cu"}
     * @param options the compiler's options; {@code --gpu-architecture=sm_90} makes a cubin, {@code compute_90} PTX
     * @return a cubin where the options name a real architecture, otherwise PTX
     * @throws CudaException if it does not compile; the text ends with the compiler's log
     */
    public static byte[] compile(String source, String name, String... options) {
        return build(source, name, Map.of(), List.of(options)).image();
    }

    /**
     * What {@link #build} returns.
     *
     * @param image a cubin where the options name a real architecture, otherwise PTX
     * @param log of the compiler: warnings, and what the options ask for; empty if it has nothing to say
     */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    public record Program(byte[] image, String log) {}

    /**
     * Compiles CUDA C++ that includes headers.
     *
     * @param source the program
     * @param name what messages call it
     * @param headers the text of each header by the name that {@code #include} gives
     * @param options as for {@link #compile}; {@code --ptxas-options=-v} logs registers and spills of each kernel
     * @throws CudaException if it does not compile; the text ends with the compiler's log
     */
    public static Program build(String source, String name, Map<String, String> headers, List<String> options) {
        LIBRARY.functions();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment program = arena.allocate(JAVA_LONG);
            List<Map.Entry<String, String>> included = List.copyOf(headers.entrySet());
            check(
                    (int) Functions.CREATE.invokeExact(
                            program,
                            arena.allocateFrom(source),
                            arena.allocateFrom(name),
                            included.size(),
                            strings(
                                    arena,
                                    included.stream().map(Map.Entry::getValue).toList()),
                            strings(
                                    arena,
                                    included.stream().map(Map.Entry::getKey).toList())),
                    "nvrtcCreateProgram");
            try {
                return build(arena, program.get(JAVA_LONG, 0), name, options);
            } finally {
                check((int) Functions.DESTROY.invokeExact(program), "nvrtcDestroyProgram");
            }
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    private static MemorySegment strings(Arena arena, List<String> texts) {
        MemorySegment array = arena.allocate(ADDRESS, Math.max(1, texts.size()));
        for (int i = 0; i < texts.size(); i++) {
            array.setAtIndex(ADDRESS, i, arena.allocateFrom(texts.get(i)));
        }
        return array;
    }

    private static Program build(Arena arena, long program, String name, List<String> options) throws Throwable {
        int error = (int) Functions.COMPILE.invokeExact(program, options.size(), strings(arena, options));
        String log = read(arena, program, Functions.LOG_SIZE, Functions.LOG, "nvrtcGetProgramLog")
                .getString(0)
                .strip();
        if (error != 0) {
            throw new CudaException(
                    "nvrtcCompileProgram: " + name + " with options " + options + ": " + errorText(error)
                            + System.lineSeparator() + log,
                    error);
        }
        MemorySegment cubin = read(arena, program, Functions.CUBIN_SIZE, Functions.CUBIN, "nvrtcGetCUBIN");
        MemorySegment result =
                cubin.byteSize() > 0 ? cubin : read(arena, program, Functions.PTX_SIZE, Functions.PTX, "nvrtcGetPTX");
        return new Program(result.toArray(JAVA_BYTE), log);
    }

    /**
     * Returns the folder for compiled programs, {@code kernels} in the folder that native libraries are unpacked to; it
     * may not exist yet.
     *
     * @throws IOException if that folder cannot be created or is not safe; the message says what to do
     */
    public static Path cacheFolder() throws IOException {
        return new CacheFolder(System::getProperty, System::getenv).choose().resolve("kernels");
    }

    private static MemorySegment read(Arena arena, long program, MethodHandle size, MethodHandle contents, String name)
            throws Throwable {
        MemorySegment length = arena.allocate(JAVA_LONG);
        check((int) size.invokeExact(program, length), name + "Size");
        MemorySegment data = arena.allocate(length.get(JAVA_LONG, 0));
        if (data.byteSize() > 0) {
            check((int) contents.invokeExact(program, data), name);
        }
        return data;
    }

    private static void check(int error, String function) throws Throwable {
        if (error != 0) {
            throw new CudaException(function + ": " + errorText(error), error);
        }
    }

    private static String errorText(int code) throws Throwable {
        return ((MemorySegment) Functions.ERROR_TEXT.invokeExact(code)).getString(0) + " (" + code + ")";
    }
}
