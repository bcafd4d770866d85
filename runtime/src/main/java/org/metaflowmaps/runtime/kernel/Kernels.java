package org.metaflowmaps.runtime.kernel;

import java.util.Optional;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;

/** Compiled programs of one place where kernels can run. */
interface Kernels {
    /** The system property that switches all kernels off. */
    boolean ENABLED = Boolean.parseBoolean(System.getProperty("org.metaflowmaps.kernels", "true"));

    /** No place: every operation is composed of libtorch's. */
    Kernels NONE = new Kernels() {
        @Override
        public boolean holds(Device device) {
            return false;
        }

        @Override
        public Optional<Launcher> launcher(KernelProgram program) {
            return Optional.empty();
        }
    };

    /** Returns whether kernels here can use the memory of that device. */
    boolean holds(Device device);

    /** Compiles a program, or returns it from an earlier call; empty if that failed, which was logged once. */
    Optional<Launcher> launcher(KernelProgram program);

    /** Returns the kernels of the device that holds a tensor. */
    static Kernels of(Tensor tensor) {
        return tensor.device().type() == Device.Type.CUDA ? DeviceKernels.on(tensor.device()) : NONE;
    }
}
