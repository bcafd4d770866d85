package org.metaflowmaps.runtime.kernel;

import org.metaflowmaps.bindings.CudaDriver;

/** Launches the kernels of one compiled program. */
interface Launcher {
    /**
     * Launches a kernel; may return before it has run.
     *
     * @param kernel its name
     * @param grid in blocks
     * @param block threads per block, along x
     * @param arguments one value per parameter of the kernel
     */
    void launch(String kernel, CudaDriver.Size grid, int block, Arguments arguments);
}
