package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Events of the CUDA runtime: points in a stream's work. An event is a {@code cudaEvent_t}, a stream a
 * {@code cudaStream_t}, both as addresses. Without the library every method throws {@link NativeLibraryException}; an
 * error that CUDA reports is a {@link CudaException}.
 */
public final class CudaEvents {
    private static final int NOT_READY = 600;
    private static final int NO_TIMING = 2;

    private CudaEvents() {}

    /** Bound only where the library is present. */
    private static final class Functions {
        static final Ffm CUDART = CudaRuntime.functions();
        static final FunctionDescriptor OF_EVENT = FunctionDescriptor.of(JAVA_INT, JAVA_LONG);
        static final MethodHandle CREATE =
                CUDART.bind("cudaEventCreateWithFlags", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
        static final MethodHandle DESTROY = CUDART.bind("cudaEventDestroy", OF_EVENT);
        static final MethodHandle RECORD =
                CUDART.bind("cudaEventRecord", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG));
        static final MethodHandle QUERY = CUDART.bind("cudaEventQuery", OF_EVENT);
        static final MethodHandle SYNCHRONIZE = CUDART.bind("cudaEventSynchronize", OF_EVENT);
        static final MethodHandle WAIT =
                CUDART.bind("cudaStreamWaitEvent", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT));
        static final MethodHandle ELAPSED =
                CUDART.bind("cudaEventElapsedTime", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG));
    }

    /**
     * Makes an event on the current device ({@code cudaEventCreateWithFlags}); the caller {@linkplain #destroy destroys}
     * it.
     *
     * @param timed true to measure times between events, which costs a little
     */
    public static long create(boolean timed) {
        CudaRuntime.functions();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment event = arena.allocate(JAVA_LONG);
            CudaRuntime.check(
                    (int) Functions.CREATE.invokeExact(event, timed ? 0 : NO_TIMING), "cudaEventCreateWithFlags");
            return event.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Destroys an event ({@code cudaEventDestroy}); work that waits for it is not disturbed. */
    public static void destroy(long event) {
        CudaRuntime.functions();
        try {
            CudaRuntime.check((int) Functions.DESTROY.invokeExact(event), "cudaEventDestroy");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Records an event after the work that a stream has now ({@code cudaEventRecord}). */
    public static void record(long event, long stream) {
        CudaRuntime.functions();
        try {
            CudaRuntime.check((int) Functions.RECORD.invokeExact(event, stream), "cudaEventRecord");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Returns true if the work before an event is done, or the event was never recorded ({@code cudaEventQuery}). */
    public static boolean isDone(long event) {
        CudaRuntime.functions();
        try {
            int error = (int) Functions.QUERY.invokeExact(event);
            if (error == NOT_READY) {
                CudaRuntime.forget(error);
                return false;
            }
            CudaRuntime.check(error, "cudaEventQuery");
            return true;
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Waits on the host until the work before an event is done ({@code cudaEventSynchronize}). */
    public static void synchronize(long event) {
        CudaRuntime.functions();
        try {
            CudaRuntime.check((int) Functions.SYNCHRONIZE.invokeExact(event), "cudaEventSynchronize");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Makes a stream's later work wait for an event, without waiting on the host ({@code cudaStreamWaitEvent}). */
    public static void await(long stream, long event) {
        CudaRuntime.functions();
        try {
            CudaRuntime.check((int) Functions.WAIT.invokeExact(stream, event, 0), "cudaStreamWaitEvent");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Returns the milliseconds between two timed events whose work is done ({@code cudaEventElapsedTime}). */
    public static double milliseconds(long from, long to) {
        CudaRuntime.functions();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment time = arena.allocate(JAVA_FLOAT);
            CudaRuntime.check((int) Functions.ELAPSED.invokeExact(time, from, to), "cudaEventElapsedTime");
            return time.get(JAVA_FLOAT, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }
}
