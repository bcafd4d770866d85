package org.metaflowmaps.runtime.kernel;

import java.util.Optional;
import org.metaflowmaps.runtime.Device;

/**
 * Kernels of which only those programs are used that compute what the composed operators compute, compared at their first use.
 *
 * @param kernels all of them
 * @param device whose memory they use
 */
record CheckedKernels(Kernels kernels, Device device) implements Kernels {
    @Override
    public boolean holds(Device other) {
        return kernels.holds(other);
    }

    @Override
    public Optional<Launcher> launcher(KernelProgram program) {
        return kernels.launcher(program)
                .filter(found -> KernelCheck.passes(
                        kernels, program.toString(), () -> OperationCheck.agrees(kernels, program, device)));
    }
}
