package org.metaflowmaps.runtime;

import org.metaflowmaps.bindings.Nvtx;

/** A named range of a thread's time that Nsight Systems shows (NVTX); does nothing if no profiler is attached. */
public final class ProfilerRange implements AutoCloseable {
    private ProfilerRange() {}

    /**
     * Begins a range inside the thread's open ones.
     *
     * @param name what the thread does, such as {@code backward}
     * @return the range; close it on the same thread, inner ranges first
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
