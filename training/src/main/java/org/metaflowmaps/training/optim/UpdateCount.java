package org.metaflowmaps.training.optim;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Counts an optimiser's updates on its device, so that the host need not know skipped ones. */
final class UpdateCount implements AutoCloseable {
    private final Tensor count;
    private final Tensor step;

    UpdateCount(Device device) {
        try (TensorScope scope = TensorScope.open()) {
            count = Torch.zeros(DType.FLOAT64, device).retain();
            step = Torch.zeros(DType.FLOAT32, device).retain();
        }
    }

    /**
     * Counts an update unless it is skipped.
     *
     * @param skip a scalar: 1 if the update is skipped, else 0
     */
    void advance(Tensor skip) {
        count.add_(1).sub_(skip);
        step.copy_(count);
    }

    /** Returns the number of updates: a float64 scalar, owned by this object. */
    Tensor count() {
        return count;
    }

    /** Returns the same as float32, for libtorch's fused optimisers. */
    Tensor step() {
        return step;
    }

    /** Reads the number of updates. */
    long read() {
        return (long) count.item();
    }

    void set(long updates) {
        count.fill_((double) updates);
    }

    @Override
    public void close() {
        count.close();
        step.close();
    }
}
