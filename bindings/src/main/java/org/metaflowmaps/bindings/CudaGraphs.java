package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.OptionalInt;

/**
 * Capture of a stream's work as a graph, and its replay, by the CUDA runtime. A stream is a {@code cudaStream_t}, a graph
 * to run a {@code cudaGraphExec_t}, both as addresses. Without the library every method throws
 * {@link NativeLibraryException}; an error that CUDA reports is a {@link CudaException}.
 */
public final class CudaGraphs {
    /** {@code cudaStreamCaptureModeThreadLocal}: other threads, such as a data loader, may allocate meanwhile. */
    private static final int THREAD_LOCAL = 1;

    /** {@code cudaGraphInstantiateFlagAutoFreeOnLaunch | cudaGraphInstantiateFlagUseNodePriority}. */
    private static final long FLAGS = 1 | 8;

    private CudaGraphs() {}

    /** Bound only where the library is present. */
    private static final class Functions {
        static final Ffm CUDART = CudaRuntime.functions();
        static final FunctionDescriptor OF_ADDRESS = FunctionDescriptor.of(JAVA_INT, JAVA_LONG);
        static final MethodHandle BEGIN =
                CUDART.bind("cudaStreamBeginCapture", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_INT));
        static final MethodHandle END =
                CUDART.bind("cudaStreamEndCapture", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS));
        static final MethodHandle NODES =
                CUDART.bind("cudaGraphGetNodes", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS, ADDRESS));
        static final MethodHandle INSTANTIATE = CUDART.bind(
                "cudaGraphInstantiateWithFlags", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG));
        static final MethodHandle LAUNCH =
                CUDART.bind("cudaGraphLaunch", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG));
        static final MethodHandle DESTROY = CUDART.bind("cudaGraphDestroy", OF_ADDRESS);
        static final MethodHandle DESTROY_EXEC = CUDART.bind("cudaGraphExecDestroy", OF_ADDRESS);
    }

    /**
     * A captured graph that can be launched.
     *
     * @param address of the {@code cudaGraphExec_t}
     * @param nodes the operations in it
     */
    public record Executable(long address, long nodes) {}

    /** Begins the capture of a stream's work ({@code cudaStreamBeginCapture}); not of the default stream. */
    public static void begin(long stream) {
        CudaRuntime.functions();
        try {
            CudaRuntime.check((int) Functions.BEGIN.invokeExact(stream, THREAD_LOCAL), "cudaStreamBeginCapture");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /**
     * Ends a capture and makes its graph runnable ({@code cudaStreamEndCapture},
     * {@code cudaGraphInstantiateWithFlags}); the caller {@linkplain #destroy destroys} it.
     *
     * @throws CudaException if the capture became invalid; it has ended then
     */
    public static Executable end(long stream) {
        CudaRuntime.functions();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment graph = arena.allocate(JAVA_LONG);
            CudaRuntime.check((int) Functions.END.invokeExact(stream, graph), "cudaStreamEndCapture");
            long captured = graph.get(JAVA_LONG, 0);
            try {
                MemorySegment nodes = arena.allocate(JAVA_LONG);
                MemorySegment runnable = arena.allocate(JAVA_LONG);
                CudaRuntime.check(
                        (int) Functions.NODES.invokeExact(captured, MemorySegment.NULL, nodes), "cudaGraphGetNodes");
                CudaRuntime.check(
                        (int) Functions.INSTANTIATE.invokeExact(runnable, captured, FLAGS),
                        "cudaGraphInstantiateWithFlags");
                return new Executable(runnable.get(JAVA_LONG, 0), nodes.get(JAVA_LONG, 0));
            } finally {
                CudaRuntime.check((int) Functions.DESTROY.invokeExact(captured), "cudaGraphDestroy");
            }
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /**
     * Ends a capture that failed, and destroys its graph, if CUDA returned one.
     *
     * @return CUDA's error code; empty if the capture was still valid
     */
    public static OptionalInt abandon(long stream) {
        CudaRuntime.functions();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment graph = arena.allocate(JAVA_LONG);
            int error = (int) Functions.END.invokeExact(stream, graph);
            CudaRuntime.forget(error);
            long captured = graph.get(JAVA_LONG, 0);
            if (captured != 0) {
                CudaRuntime.check((int) Functions.DESTROY.invokeExact(captured), "cudaGraphDestroy");
            }
            return error == 0 ? OptionalInt.empty() : OptionalInt.of(error);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Launches a graph on a stream ({@code cudaGraphLaunch}). */
    public static void launch(Executable graph, long stream) {
        CudaRuntime.functions();
        try {
            CudaRuntime.check((int) Functions.LAUNCH.invokeExact(graph.address, stream), "cudaGraphLaunch");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Destroys a graph ({@code cudaGraphExecDestroy}). */
    public static void destroy(Executable graph) {
        CudaRuntime.functions();
        try {
            CudaRuntime.check((int) Functions.DESTROY_EXEC.invokeExact(graph.address), "cudaGraphExecDestroy");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }
}
