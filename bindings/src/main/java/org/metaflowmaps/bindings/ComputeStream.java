package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BOOLEAN;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * libtorch's current CUDA stream. All work on a device goes to one stream of libtorch's pool, on every thread, and never to
 * the legacy stream: that stream waits for all others, and its work cannot be captured.
 *
 * <p>libtorch keeps the current stream per thread. {@link #enter} sets it, at the beginning of each thread's work.
 */
public final class ComputeStream {
    /** Devices in use, each with its stream. */
    private static final Map<Integer, Long> STREAMS = new ConcurrentHashMap<>();

    /** The devices whose stream was set on this thread, as bits. */
    private static final ThreadLocal<long[]> ENTERED = ThreadLocal.withInitial(() -> new long[1]);

    private static volatile boolean active;
    private static volatile @Nullable Thread capturing;

    private ComputeStream() {}

    /** Bound only where libtorch's CUDA library is loaded. */
    private static final class Functions {
        static final Ffm TORCH =
                new Ffm("libtorch (" + library() + ")", SymbolLookup.libraryLookup(library(), Arena.global()));
        static final MethodHandle FROM_POOL = TORCH.bind(
                "torch_get_cuda_stream_from_pool", FunctionDescriptor.of(JAVA_INT, JAVA_BOOLEAN, JAVA_INT, ADDRESS));
        static final MethodHandle SET =
                TORCH.bind("torch_set_current_cuda_stream", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_INT));
        static final MethodHandle CURRENT =
                TORCH.bind("aoti_torch_get_current_cuda_stream", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS));
    }

    private static Path library() {
        Path cpu = Libtorch.info().library();
        return Libtorch.companion("torch_cuda").orElseGet(() -> cpu.resolveSibling("libtorch_cuda.so"));
    }

    /** Looked up once, because every launch of a kernel asks. */
    private static final class Present {
        static final boolean CUDA = Files.exists(library());
    }

    private static void requireCuda() {
        if (!Present.CUDA) {
            throw new NativeLibraryException("this libtorch was built without CUDA: " + library() + " is missing");
        }
    }

    /**
     * Makes a device's work go to its compute stream, on this thread at once and on others from their next {@link #enter}
     * on. Call it only where CUDA is available.
     *
     * @param device the device's index
     */
    public static void use(int device) {
        STREAMS.computeIfAbsent(device, index -> fromPool(true, index));
        active = true;
        enter();
    }

    /** Sets this thread's current streams if CUDA is in use; costs one read of a field otherwise. */
    public static void enter() {
        if (active) {
            long[] entered = ENTERED.get();
            STREAMS.forEach((device, stream) -> {
                if ((entered[0] >>> device & 1) == 0) {
                    entered[0] |= 1L << device;
                    setCurrent(stream, device);
                }
            });
        }
    }

    /** Records that this thread has begun or ended to capture its work as a graph; at most one thread captures at a time. */
    public static void setCapturing(boolean begun) {
        capturing = begun ? Thread.currentThread() : null;
    }

    /** Returns true while this thread captures its work as a graph. */
    public static boolean isCapturing() {
        return capturing != null && Thread.currentThread().equals(capturing);
    }

    /** Returns a device's compute stream, a {@code cudaStream_t}. */
    public static long of(int device) {
        use(device);
        return Objects.requireNonNull(STREAMS.get(device));
    }

    /**
     * Returns a stream of libtorch's pool, which owns it ({@code torch_get_cuda_stream_from_pool}).
     *
     * @param high true for a stream of high priority
     */
    public static long fromPool(boolean high, int device) {
        requireCuda();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment stream = arena.allocate(JAVA_LONG);
            StableAbi.check(
                    (int) Functions.FROM_POOL.invokeExact(high, device, stream), "torch_get_cuda_stream_from_pool");
            return stream.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Sets this thread's current stream of a device ({@code torch_set_current_cuda_stream}). */
    public static void setCurrent(long stream, int device) {
        requireCuda();
        try {
            StableAbi.check((int) Functions.SET.invokeExact(stream, device), "torch_set_current_cuda_stream");
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    /** Returns this thread's current stream of a device ({@code aoti_torch_get_current_cuda_stream}). */
    public static long current(int device) {
        requireCuda();
        try {
            MemorySegment stream = Scratch.slot();
            StableAbi.check((int) Functions.CURRENT.invokeExact(device, stream), "aoti_torch_get_current_cuda_stream");
            return stream.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }
}
