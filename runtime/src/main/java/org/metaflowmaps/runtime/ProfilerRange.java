package org.metaflowmaps.runtime;

import org.metaflowmaps.bindings.Nvtx;

/** A named stretch of a thread's time, shown by Nsight Systems; nothing where no profiler is attached (NVTX). */
public final class ProfilerRange implements AutoCloseable {
    private ProfilerRange() {}

    /**
     * Begins a range inside the thread's open ones.
     *
     * @param name what the thread does, such as {@code backward}
     * @return to be closed on the same thread, inner ranges first
     */
    public static ProfilerRange open(String name) {
        Nvtx.push(name);
        return new ProfilerRange();
    }

    @Override
    public void close() {
        Nvtx.pop();
    }
}
