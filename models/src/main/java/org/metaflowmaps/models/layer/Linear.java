package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;

/**
 * A linear layer x·Wᵀ + b, built once over its weights, which it does not own.
 *
 * <p>Bfloat16 weights, those of a copy for sampling, multiply inputs that are rounded to bfloat16.
 */
public final class Linear {
    private final Tensor weight;
    private final Tensor bias;
    private final boolean narrow;
    private final Device.Type device;

    /**
     * A layer.
     *
     * @param weight (out, in)
     * @param bias (out)
     */
    public Linear(Tensor weight, Tensor bias) {
        this.weight = weight;
        this.bias = bias;
        this.narrow = weight.dtype() == DType.BFLOAT16;
        this.device = weight.device().type();
    }

    /**
     * The layer as every token or item goes through it: in bfloat16 under {@link Autocast}.
     *
     * @param input (…, in)
     * @return (…, out)
     */
    public Dual forward(Dual input) {
        return multiplied(input, weight);
    }

    /**
     * The layer in float32 also under {@link Autocast}: for times and conditions, which derivatives along time go through, and for the
     * way in and out. All of it together is a small part of a network's work. With bfloat16 weights the product is bfloat16, and the
     * result is converted to float32.
     *
     * @param input (…, in)
     * @return (…, out)
     */
    public Dual exact(Dual input) {
        return exact(input, weight);
    }

    /** {@link #exact(Dual)} with the weight in another shape: {@code matrix} is a view of it. */
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
        return (narrow ? input.to(DType.BFLOAT16) : input).linear(matrix, bias);
    }
}
