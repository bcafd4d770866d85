package org.metaflowmaps.steering.reward;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** A reward's constant numbers on its device, in float64, because an upload at every score would stall the device. */
final class Constant implements AutoCloseable {
    private final Tensor values;

    private Constant(Tensor values) {
        this.values = values;
    }

    static Constant of(double[] values, Device device, long... shape) {
        try (TensorScope scope = TensorScope.open()) {
            return new Constant(Torch.of(values, shape).to(device).retain());
        }
    }

    /** Copies a floating-point tensor. */
    static Constant copyOf(Tensor values) {
        try (TensorScope scope = TensorScope.open()) {
            return new Constant(values.detach().to(DType.FLOAT64).clone().retain());
        }
    }

    Shape shape() {
        return values.shape();
    }

    /** Returns a copy, in the innermost open scope. */
    Tensor copy() {
        return values.clone();
    }

    /** Returns the numbers in the type of some samples, in the innermost open scope. */
    Tensor like(Tensor samples) {
        return values.to(samples.dtype());
    }

    @Override
    public void close() {
        values.close();
    }
}
