package org.metaflowmaps.runtime;

import java.util.concurrent.atomic.LongAdder;

/**
 * Counts how often values of tensors were handed to Java or copied to the host's memory: {@link Tensor#item}, {@link Tensor#segment},
 * {@link Tensor#toFloatArray} and its kind, and copies from another device to the CPU. On a GPU each of them waits until the value is
 * computed, so a training step makes none.
 */
public final class HostReads {
    private static final LongAdder READS = new LongAdder();

    private HostReads() {}

    /** The number of reads since the process began, over all threads. */
    public static long count() {
        return READS.sum();
    }

    static void read() {
        READS.increment();
    }
}
