package org.metaflowmaps.steering.reward;

import java.util.List;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Records after which stages of a computation there was NaN, on the device and without reading it. Thread safety: one
 * thread at a time.
 */
final class Stages implements AutoCloseable {
    private final List<String> names;
    private final Tensor bad;

    /** Makes a record without NaN; names are in the order of the computation, such as "the decoded images". */
    Stages(Device device, String... names) {
        this.names = List.of(names);
        try (TensorScope scope = TensorScope.open()) {
            bad = Torch.zeros(DType.FLOAT64, device, names.length).retain();
        }
    }

    /** Records whether a stage's values have a NaN. */
    void note(int stage, Tensor values) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            // NaN is the only value that differs from itself.
            Tensor given = values.detach();
            Tensor found = given.ne(given).any().to(DType.FLOAT64).reshape(1);
            Tensor slot = bad.narrow(0, stage, 1);
            slot.copy_(slot.maximum(found));
        }
    }

    /** Returns the first stage with NaN, for a message; empty if there was none. */
    String diagnosis() {
        double[] found = bad.toDoubleArray();
        for (int stage = 0; stage < found.length; stage++) {
            if (found[stage] > 0) {
                return "NaN appeared first in " + names.get(stage);
            }
        }
        return "";
    }

    @Override
    public void close() {
        bad.close();
    }
}
