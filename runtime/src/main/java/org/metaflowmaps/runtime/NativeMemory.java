package org.metaflowmaps.runtime;

import java.util.concurrent.atomic.LongAdder;
import org.metaflowmaps.runtime.internal.Leaks;

/** Counts of the native tensors that this process holds through {@link Tensor}. */
public final class NativeMemory {
    private static final LongAdder TENSORS = new LongAdder();
    private static final LongAdder BYTES = new LongAdder();

    private NativeMemory() {}

    /** Number of {@link Tensor}s that were made and not yet freed, over all threads. */
    public static long liveTensors() {
        return TENSORS.sum();
    }

    /** What those tensors show, in bytes: elements times element size. Views that share memory each count what they show. */
    public static long liveBytes() {
        return BYTES.sum();
    }

    /**
     * Number of native objects (tensors, random sources, open files) that became unreachable before they were closed, over all
     * threads. Their memory stays taken, and lost tensors stay in the counts above. Each is reported in the log; the system
     * property {@code org.metaflowmaps.leaks=trace} adds where it was made. The garbage collector finds them, so the number lags.
     */
    public static long lostObjects() {
        ThreadState.sweep();
        return Leaks.count();
    }

    /** What the lost objects show, in bytes. */
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
