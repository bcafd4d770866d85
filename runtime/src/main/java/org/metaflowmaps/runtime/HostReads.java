package org.metaflowmaps.runtime;

import java.util.concurrent.atomic.LongAdder;

/**
 * Counts reads of tensor values by the host: {@link Tensor#item}, {@link Tensor#segment}, {@link Tensor#toFloatArray}
 * and similar methods, and copies from another device to the CPU. On a GPU each read waits until the value is computed,
 * so a training step makes none.
 */
public final class HostReads {
    private static final LongAdder READS = new LongAdder();

    private HostReads() {}

    /** Returns the number of reads since the process started, over all threads. */
    public static long count() {
        return READS.sum();
    }

    static void read() {
        READS.increment();
    }
}
