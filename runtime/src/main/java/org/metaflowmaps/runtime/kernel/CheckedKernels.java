package org.metaflowmaps.runtime.kernel;

import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.metaflowmaps.bindings.CudaException;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorException;
import org.metaflowmaps.runtime.TensorScope;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Kernels of which only those programs are used that compute what the composed operators compute. They are compared at a program's first
 * use, which reads from the device and so may not be in a captured step; a difference or failure is logged then.
 */
final class CheckedKernels implements Kernels {
    private static final Logger LOG = LoggerFactory.getLogger(CheckedKernels.class);

    private final Kernels kernels;
    private final Device device;
    private final Map<KernelProgram, Optional<Launcher>> checked = new ConcurrentHashMap<>();

    /**
     * Checks kernels.
     *
     * @param kernels all of them
     * @param device whose memory they use
     */
    CheckedKernels(Kernels kernels, Device device) {
        this.kernels = kernels;
        this.device = device;
    }

    @Override
    public boolean holds(Device other) {
        return kernels.holds(other);
    }

    @Override
    public Optional<Launcher> launcher(KernelProgram program) {
        return checked.computeIfAbsent(program, added -> kernels.launcher(added).filter(found -> agrees(added)));
    }

    private boolean agrees(KernelProgram program) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor agree = OperationCheck.agrees(kernels, program, device);
            if (agree.item() != 0) {
                return true;
            }
            LOG.warn(
                    "The kernels of {} compute other results on this device than libtorch's operators, which are used"
                            + " instead. Please report this",
                    program);
        } catch (CudaException | TensorException e) {
            LOG.warn("The kernels of {} failed; libtorch's operators are used instead: {}", program, e.toString());
        }
        return false;
    }
}
