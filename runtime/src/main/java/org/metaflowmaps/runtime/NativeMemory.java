package org.metaflowmaps.runtime;

import java.util.concurrent.atomic.LongAdder;
import org.metaflowmaps.runtime.internal.Leaks;

/** Counts of the native tensors that this process holds through {@link Tensor}. */
public final class NativeMemory {
    private static final LongAdder TENSORS = new LongAdder();
    private static final LongAdder BYTES = new LongAdder();

    private NativeMemory() {}

    /** Returns the number of {@link Tensor}s that are not freed yet, over all threads. */
    public static long liveTensors() {
        return TENSORS.sum();
    }

    /**
     * Returns the bytes of those tensors: elements times element size. Views that share memory are each counted in
     * full.
     */
    public static long liveBytes() {
        return BYTES.sum();
    }

    /**
     * Returns the number of native objects (tensors, random sources, open files) that became unreachable before they
     * were closed, over all threads. Their memory is not freed, and lost tensors stay in the counts above. The log
     * reports each loss; the system property {@code org.metaflowmaps.leaks=trace} adds where the object was made. The
     * garbage collector finds them, so the number lags behind.
     */
    public static long lostObjects() {
        ThreadState.sweep();
        return Leaks.count();
    }

    /** Returns the bytes of the lost objects. */
    public static long lostBytes() {
        ThreadState.sweep();
        return Leaks.bytes();
    }

    static void made(long bytes) {
        TENSORS.increment();
        BYTES.add(bytes);
    }

    static void freed(long tensors, long bytes) {
        TENSORS.add(-tensors);
        BYTES.add(-bytes);
    }
}
