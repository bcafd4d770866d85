package org.metaflowmaps.bindings;

import org.bytedeco.pytorch.cuda.CUDAAllocator;
import org.bytedeco.pytorch.cuda.DeviceStats;
import org.bytedeco.pytorch.global.torch_cuda;

/** libtorch's allocator of CUDA memory. Call it only where CUDA is available and {@link GraphPool#missing} is empty. */
public final class CudaAllocator {
    private CudaAllocator() {}

    /**
     * What the allocator has given out on a device, in bytes.
     *
     * @param allocated bytes of tensors now
     * @param peakAllocated the most since the last reset
     * @param reserved bytes taken from the driver now
     * @param peakReserved the most since the last reset
     * @param retries allocations that succeeded only after unused memory was returned to the driver
     * @param failures allocations that failed
     */
    public record Statistics(
            long allocated, long peakAllocated, long reserved, long peakReserved, long retries, long failures) {}

    /** Reads the statistics of a device; all 0 before its first allocation. */
    public static Statistics statistics(int device) {
        GraphPool.require();
        DeviceStats stats;
        try {
            stats = torch_cuda.getAllocator().getDeviceStats((byte) device);
        } catch (RuntimeException e) {
            // "Invalid device argument" before the first allocation.
            return new Statistics(0, 0, 0, 0, 0, 0);
        }
        try (stats) {
            return new Statistics(
                    stats.allocated_bytes().current(),
                    stats.allocated_bytes().peak(),
                    stats.reserved_bytes().current(),
                    stats.reserved_bytes().peak(),
                    stats.num_alloc_retries(),
                    stats.num_ooms());
        }
    }

    /** Sets the peaks to the amounts of now. */
    public static void resetPeaks(int device) {
        GraphPool.require();
        torch_cuda.getAllocator().resetPeakStats((byte) device);
    }

    /** Returns unused memory to the driver; waits for the device. */
    public static void emptyCache() {
        GraphPool.require();
        CUDAAllocator allocator = torch_cuda.getAllocator();
        allocator.emptyCache();
    }
}
