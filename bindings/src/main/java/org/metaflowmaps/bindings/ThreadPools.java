package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.global.torch;

/**
 * Sizes of native thread pools: OpenMP's, which libtorch uses and which is per calling thread, and the BLAS library's,
 * which is one for the process.
 *
 * <p>Two threads that both start parallel regions compete for the processors, and OpenBLAS's pool and OpenMP's wait for
 * each other. Threads that share out the work themselves therefore run native operations single-threaded.
 */
public final class ThreadPools {
    private static final List<String> BLAS_LIBRARIES = List.of("openblas", "openblas_nolapack");
    private static final List<MethodHandle> OPENMP =
            bind(List.of("gomp", "omp", "iomp5"), "omp_set_num_threads", FunctionDescriptor.ofVoid(JAVA_INT));
    // JavaCPP loads two copies; libtorch calls one of them.
    private static final List<MethodHandle> BLAS =
            bind(BLAS_LIBRARIES, "openblas_set_num_threads", FunctionDescriptor.ofVoid(JAVA_INT));
    private static final List<MethodHandle> BLAS_SIZES =
            bind(BLAS_LIBRARIES, "openblas_get_num_threads", FunctionDescriptor.of(JAVA_INT));

    private static final List<MethodHandle> BLAS_KERNELS =
            bind(BLAS_LIBRARIES, "openblas_get_corename", FunctionDescriptor.of(Ffm.C_STRING));

    private ThreadPools() {}

    private static List<MethodHandle> bind(List<String> stems, String function, FunctionDescriptor type) {
        Libtorch.load();
        return stems.stream()
                .flatMap(stem -> Libtorch.companion(stem).stream())
                .map(file -> SymbolLookup.libraryLookup(file, Arena.global()))
                .filter(symbols -> symbols.find(function).isPresent())
                .map(symbols -> new Ffm(function, symbols).bind(function, type))
                .toList();
    }

    /** Returns how many threads an operation of the calling thread may use. */
    public static int threads() {
        Libtorch.load();
        return torch.get_num_threads();
    }

    /**
     * Makes libtorch's operations run on the calling thread alone, until it ends ({@code omp_set_num_threads}). Other
     * threads keep their setting. Does nothing if OpenMP's library is not known.
     */
    public static void useOneThread() {
        // libtorch sets a thread's size at its first question, so ask before the size is changed.
        if (threads() != 1) {
            call(OPENMP, 1);
        }
    }

    /**
     * Sets the size of the BLAS library's pool for the whole process ({@code openblas_set_num_threads}). Does nothing if
     * that library is not known, such as on macOS.
     *
     * @param threads at least 1
     */
    public static void setBlasThreads(int threads) {
        if (threads < 1) {
            throw new IllegalArgumentException("BLAS: " + threads + " threads, expected at least 1");
        }
        call(BLAS, threads);
    }

    /**
     * Returns the size of the BLAS library's pool ({@code openblas_get_num_threads}), 0 if that library is not known; the
     * largest of several copies.
     */
    public static int blasThreads() {
        int most = 0;
        for (MethodHandle function : BLAS_SIZES) {
            try {
                most = Math.max(most, (int) function.invokeExact());
            } catch (Throwable e) {
                throw Ffm.unexpected(e);
            }
        }
        return most;
    }

    /**
     * Returns for which kind of processor the BLAS library's products were written, such as {@code Cooperlake}
     * ({@code openblas_get_corename}); empty if that library is not known.
     */
    public static Optional<String> blasKernels() {
        for (MethodHandle function : BLAS_KERNELS) {
            try {
                return Optional.of(((MemorySegment) function.invokeExact()).getString(0));
            } catch (Throwable e) {
                throw Ffm.unexpected(e);
            }
        }
        return Optional.empty();
    }

    private static void call(List<MethodHandle> functions, int threads) {
        for (MethodHandle function : functions) {
            try {
                function.invokeExact(threads);
            } catch (Throwable e) {
                throw Ffm.unexpected(e);
            }
        }
    }
}
