package org.metaflowmaps.runtime.kernel;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.metaflowmaps.bindings.ComputeStream;
import org.metaflowmaps.bindings.CudaDriver;
import org.metaflowmaps.bindings.CudaException;
import org.metaflowmaps.bindings.CudaRuntime;
import org.metaflowmaps.bindings.NativeLibraryException;
import org.metaflowmaps.bindings.Nvrtc;
import org.metaflowmaps.runtime.Device;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Kernels of one GPU, on the calling thread's current stream of libtorch. Compiled programs stay loaded until the process ends. The
 * system property {@code org.metaflowmaps.kernels}, {@code false}, switches them off.
 *
 * <p>A program's first use compiles and loads it, and compares it with libtorch's operators ({@link CheckedKernels}), which a stream that is being captured may forbid: run a step before capturing it.
 */
final class DeviceKernels implements Kernels {
    private static final Logger LOG = LoggerFactory.getLogger(DeviceKernels.class);
    private static final Map<Device, Kernels> DEVICES = new ConcurrentHashMap<>();

    private final Device device;
    private final long context;
    private final String architecture;
    private final CubinCache cache;
    private final Map<KernelProgram, Optional<Launcher>> programs = new ConcurrentHashMap<>();

    private DeviceKernels(Device device, long context, String architecture, CubinCache cache) {
        this.device = device;
        this.context = context;
        this.architecture = architecture;
        this.cache = cache;
    }

    /** Returns the kernels of a GPU; {@link Kernels#NONE} if they cannot be compiled there, which is logged once. */
    static Kernels on(Device device) {
        return DEVICES.computeIfAbsent(device, DeviceKernels::make);
    }

    private static Kernels make(Device device) {
        if (!ENABLED) {
            return NONE;
        }
        try {
            CudaRuntime.Device found = CudaRuntime.device(device.index());
            String architecture = "sm_" + found.computeMajor() + found.computeMinor();
            String versions = "NVRTC " + Nvrtc.version() + ", driver " + CudaRuntime.driverVersion();
            Path folder = Nvrtc.cacheFolder();
            Kernels all = new DeviceKernels(
                    device, CudaDriver.primaryContext(device.index()), architecture, new CubinCache(folder, versions));
            return new CheckedKernels(all, device);
        } catch (NativeLibraryException | CudaException | IOException e) {
            LOG.warn(
                    "Kernels cannot be compiled for {}; libtorch's operators are used instead: {}",
                    device,
                    e.toString());
            return NONE;
        }
    }

    @Override
    public boolean holds(Device other) {
        return device.equals(other);
    }

    @Override
    public Optional<Launcher> launcher(KernelProgram program) {
        return programs.computeIfAbsent(program, this::load);
    }

    private Optional<Launcher> load(KernelProgram program) {
        try {
            return Optional.of(new Loaded(module(program)));
        } catch (CudaException e) {
            LOG.warn("The kernel {} cannot be used; libtorch's operators are used instead: {}", program, e.toString());
            return Optional.empty();
        }
    }

    private long module(KernelProgram program) {
        byte[] image = image(program);
        try {
            return inContext(() -> CudaDriver.load(image));
        } catch (CudaException refused) {
            LOG.warn("The driver refused a compiled kernel, which is compiled again: {}", refused.toString());
            cache.forget(program, architecture);
            byte[] again = image(program);
            return inContext(() -> CudaDriver.load(again));
        }
    }

    private byte[] image(KernelProgram program) {
        return cache.get(
                program, architecture, wanted -> wanted.compile(architecture).image());
    }

    private interface Work<T> {
        T run();
    }

    private <T> T inContext(Work<T> work) {
        CudaDriver.pushContext(context);
        try {
            return work.run();
        } finally {
            CudaDriver.popContext();
        }
    }

    /** A loaded module, with its functions by name. */
    private final class Loaded implements Launcher {
        private final long module;
        private final Map<String, Long> functions = new ConcurrentHashMap<>();

        Loaded(long module) {
            this.module = module;
        }

        @Override
        public void launch(String kernel, CudaDriver.Size grid, int block, Arguments arguments) {
            CudaDriver.pushContext(context);
            try {
                long function = functions.computeIfAbsent(kernel, name -> CudaDriver.function(module, name));
                CudaDriver.launch(
                        function,
                        grid,
                        new CudaDriver.Size(block, 1, 1),
                        0,
                        ComputeStream.current(device.index()),
                        arguments.array());
            } finally {
                CudaDriver.popContext();
            }
        }
    }
}
