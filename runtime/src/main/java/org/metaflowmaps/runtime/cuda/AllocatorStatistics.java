package org.metaflowmaps.runtime.cuda;

import org.metaflowmaps.bindings.CudaAllocator;
import org.metaflowmaps.bindings.GraphPool;
import org.metaflowmaps.bindings.NativeLibraryException;
import org.metaflowmaps.runtime.Device;

/**
 * A GPU's memory as libtorch's allocator has given it out, in bytes.
 *
 * @param allocated bytes of tensors now
 * @param peakAllocated the most since {@link #resetPeaks}
 * @param reserved bytes taken from the driver now, which include unused parts of its blocks
 * @param peakReserved the most since {@link #resetPeaks}
 * @param retries allocations that succeeded only after unused memory was returned to the driver: many of them are slow,
 *     so lower the batch
 * @param failures allocations that failed
 */
public record AllocatorStatistics(
        long allocated, long peakAllocated, long reserved, long peakReserved, long retries, long failures) {
    /**
     * Reads a device's statistics; all 0 before its first allocation.
     *
     * @throws IllegalArgumentException if the device is no GPU or cannot be used
     * @throws NativeLibraryException if the jars of CUDA are missing
     */
    public static AllocatorStatistics of(Device device) {
        CudaAllocator.Statistics read = CudaAllocator.statistics(usable(device));
        return new AllocatorStatistics(
                read.allocated(),
                read.peakAllocated(),
                read.reserved(),
                read.peakReserved(),
                read.retries(),
                read.failures());
    }

    /** Begins a new measurement of the peaks; throws as {@link #of}. */
    public static void resetPeaks(Device device) {
        CudaAllocator.resetPeaks(usable(device));
    }

    /** Returns unused memory to the driver, for other processes; waits for the device. Throws as {@link #of}. */
    public static void emptyCache(Device device) {
        usable(device);
        CudaAllocator.emptyCache();
    }

    private static int usable(Device device) {
        int index = CudaStream.requireGpu(device).available().index();
        GraphPool.require();
        return index;
    }
}
