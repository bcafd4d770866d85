package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.Arrays;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tensors over foreign memory, and the upcall stub that libtorch calls when it no longer uses such memory.
 *
 * <p>One stub serves all deleters; the number passed as the C callback's context selects the deleter. The stub is never
 * freed, because a call may still run in it.
 */
final class Blobs {
    private static final Logger LOG = LoggerFactory.getLogger(Blobs.class);
    private static final int STRIDED = 0;

    private static final MethodHandle FROM_BLOB = Libtorch.functions()
            .bind(
                    "torch_from_blob",
                    FunctionDescriptor.of(
                            JAVA_INT, ADDRESS, JAVA_LONG, ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT,
                            ADDRESS, JAVA_INT, ADDRESS, JAVA_LONG, ADDRESS, JAVA_LONG));
    private static final MemorySegment DELETER = deleterStub();
    private static final ConcurrentHashMap<Long, Runnable> DELETERS = new ConcurrentHashMap<>();
    private static final AtomicLong NEXT = new AtomicLong(1);

    private Blobs() {}

    static long create(
            MemorySegment data,
            long[] sizes,
            long[] strides,
            int dtype,
            int deviceType,
            int deviceIndex,
            @Nullable Runnable deleter) {
        requireRoom(data, sizes, strides, dtype);
        if (deleter != null && data.address() == 0) {
            throw new IllegalArgumentException(
                    "A deleter was given for memory at address 0, for which libtorch never calls it");
        }
        long context = deleter == null ? 0 : NEXT.getAndIncrement();
        MemorySegment callback = deleter == null ? MemorySegment.NULL : DELETER;
        int error;
        long handle;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(JAVA_LONG);
            // Register the deleter last: a failed call may run the callback, which must then find no deleter.
            error = (int) FROM_BLOB.invokeExact(
                    data,
                    (long) sizes.length,
                    arena.allocateFrom(JAVA_LONG, sizes),
                    arena.allocateFrom(JAVA_LONG, strides),
                    0L,
                    dtype,
                    deviceType,
                    deviceIndex,
                    out,
                    STRIDED,
                    MemorySegment.NULL,
                    0L,
                    callback,
                    context);
            handle = out.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
        StableAbi.check(error, "torch_from_blob");
        if (deleter != null) {
            DELETERS.put(context, deleter);
        }
        return handle;
    }

    /** Returns the number of deleters that have not run yet. */
    static int waiting() {
        return DELETERS.size();
    }

    private static void requireRoom(MemorySegment data, long[] sizes, long[] strides, int dtype) {
        int bytes = ScalarTypes.bytes(dtype);
        if (!data.isNative()) {
            throw new IllegalArgumentException(
                    "The memory is on the Java heap, where libtorch cannot reach it: copy it to a"
                            + " segment of an Arena first");
        }
        if (sizes.length != strides.length) {
            throw new IllegalArgumentException("Expected as many strides as sizes, got sizes " + Arrays.toString(sizes)
                    + " and strides " + Arrays.toString(strides));
        }
        long last = 0;
        boolean empty = false;
        for (int i = 0; i < sizes.length; i++) {
            if (sizes[i] < 0 || strides[i] < 0) {
                throw new IllegalArgumentException("Sizes and strides must not be negative, got sizes "
                        + Arrays.toString(sizes) + " and strides " + Arrays.toString(strides));
            }
            empty |= sizes[i] == 0;
            last = Math.addExact(last, Math.multiplyExact(Math.max(sizes[i] - 1, 0), strides[i]));
        }
        long needed = empty ? 0 : Math.multiplyExact(Math.addExact(last, 1), bytes);
        if (needed > data.byteSize() || (needed > 0 && data.address() == 0)) {
            throw new IllegalArgumentException(
                    "The memory has " + data.byteSize() + " bytes at address " + data.address()
                            + ", but sizes " + Arrays.toString(sizes) + " and strides " + Arrays.toString(strides)
                            + " of elements of "
                            + bytes
                            + " bytes need " + needed
                            + " (a segment made from a bare address has no size: set it with reinterpret)");
        }
    }

    private static MemorySegment deleterStub() {
        try {
            MethodHandle target = MethodHandles.lookup()
                    .findStatic(
                            Blobs.class, "delete", MethodType.methodType(void.class, MemorySegment.class, long.class));
            return Linker.nativeLinker()
                    .upcallStub(target, FunctionDescriptor.ofVoid(ADDRESS, JAVA_LONG), Arena.global());
        } catch (ReflectiveOperationException e) {
            throw new LinkageError("Blobs.delete", e);
        }
    }

    // Called from C: an exception that leaves this method would end the process.
    @SuppressWarnings({"UnusedMethod", "UnusedVariable"})
    private static void delete(MemorySegment data, long context) {
        try {
            Runnable deleter = DELETERS.remove(context);
            if (deleter != null) {
                deleter.run();
            }
        } catch (Throwable e) {
            try {
                LOG.error("The deleter of a tensor's memory failed", e);
            } catch (Throwable nothingMoreToTry) {
                return;
            }
        }
    }
}
