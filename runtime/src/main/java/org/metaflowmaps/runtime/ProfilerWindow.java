package org.metaflowmaps.runtime;

import org.metaflowmaps.bindings.CudaRuntime;

/**
 * Limits profiling to a part of a run. While a window exists, ranges ({@link ProfilerRange}) are recorded only between {@link #begin}
 * and {@link #end}; with a GPU these two also call {@code cudaProfilerStart} and {@code cudaProfilerStop}, which
 * {@code nsys profile --capture-range=cudaProfilerApi} and {@code ncu --profile-from-start off} wait for.
 *
 * <p>There is one window per process at a time; {@link #close} records all ranges again.
 */
public final class ProfilerWindow implements AutoCloseable {
    private final boolean device = CudaRuntime.deviceCount() > 0;
    private boolean open;

    /** Makes a window that has not begun. */
    public ProfilerWindow() {
        ProfilerRange.pause(true);
    }

    /** Begins the window, after the device's earlier work; does nothing if it has begun. */
    public void begin() {
        if (!open) {
            open = true;
            if (device) {
                CudaRuntime.startProfiler();
            }
            ProfilerRange.pause(false);
        }
    }

    /** Ends the window, after the device's work in it; does nothing if it has not begun. */
    public void end() {
        if (open) {
            open = false;
            ProfilerRange.pause(true);
            if (device) {
                CudaRuntime.stopProfiler();
            }
        }
    }

    /** Returns true between {@link #begin} and {@link #end}. */
    public boolean isOpen() {
        return open;
    }

    @Override
    public void close() {
        end();
        ProfilerRange.pause(false);
    }
}
