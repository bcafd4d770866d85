package org.metaflowmaps.models.vision;

import java.util.ArrayList;
import java.util.List;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.KeptMemory;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Workers;

/**
 * The process's settings while a network is open on the CPU: freed memory is kept, and BLAS is single-threaded. Both
 * also apply to gradients, which are computed outside of the network's methods.
 */
final class CpuUse implements AutoCloseable {
    private final List<Runnable> ends = new ArrayList<>();

    CpuUse(ParameterArena weights) {
        if (weights.values().device().type() == Device.Type.CPU) {
            ends.add(KeptMemory.open()::close);
            ends.add(Workers.hold()::close);
        }
    }

    /** Further calls do nothing. */
    @Override
    public void close() {
        ends.forEach(Runnable::run);
    }
}
