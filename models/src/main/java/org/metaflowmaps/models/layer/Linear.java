package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;

/**
 * A linear layer x·Wᵀ + b over weights that it does not own.
 *
 * <p>With bfloat16 weights, as in a copy for sampling, inputs are rounded to bfloat16. Float32 weights may have a bfloat16
 * copy beside them, {@link org.metaflowmaps.runtime.ParameterArena#narrow}, which replaces Autocast's casts of weights.
 */
public final class Linear {
    private final LinearWeights weights;
    private final boolean narrow;
    private final Device.Type device;

    /** A layer of the tensors named weight (out, in) and bias (out). */
    Linear(Weights weights) {
        this.weights = new LinearWeights(weights);
        this.narrow = this.weights.weight().dtype() == DType.BFLOAT16;
        this.device = this.weights.weight().device().type();
    }

    /** The type of {@link #forward}'s result. */
    DType products() {
        return weights.products();
    }

    /**
     * Applies the layer, in bfloat16 under {@link Autocast}; for tokens and items.
     *
     * @param input (…, in)
     * @return (…, out)
     */
    public Dual forward(Dual input) {
        LinearWeights.Narrowed copy = weights.narrowed();
        return copy != null && Autocast.isOn(device)
                ? input.to(DType.BFLOAT16).linear(copy.weight(), copy.bias())
                : multiplied(input, weights.weight());
    }

    /** {@link #forward} and GELU with the tanh approximation. */
    Dual geluTanh(Dual input) {
        return narrow || Autocast.isOn(device)
                ? forward(input).geluTanh()
                : input.linearGeluTanh(weights.weight(), weights.bias());
    }

    /**
     * Applies the layer in float32 also under {@link Autocast}: for times and conditions, because derivatives along
     * time pass through them, and for a network's input and output. These are a small part of the work. With bfloat16
     * weights the product is bfloat16, and the result is converted to float32.
     *
     * @param input (…, in)
     * @return (…, out)
     */
    public Dual exact(Dual input) {
        return exact(input, weights.weight());
    }

    /** {@link #exact(Dual)} with {@code matrix}, a reshaped view of the weight. */
    Dual exact(Dual input, Tensor matrix) {
        if (narrow) {
            return multiplied(input, matrix).to(DType.FLOAT32);
        }
        if (!Autocast.isOn(device)) {
            return multiplied(input, matrix);
        }
        try (Autocast off = Autocast.off(device)) {
            return multiplied(input, matrix);
        }
    }

    private Dual multiplied(Dual input, Tensor matrix) {
        return (narrow ? input.to(DType.BFLOAT16) : input).linear(matrix, weights.bias());
    }
}
