package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** A linear layer x·Wᵀ + b whose gradients are computed without a gradient graph, and added to the arena's. */
final class LinearGradient {
    private final LinearWeights weights;

    /** A layer of the tensors named weight (out, in) and bias (out). */
    LinearGradient(Weights weights) {
        this.weights = new LinearWeights(weights);
    }

    /** The type of the products, which callers give to the other methods. */
    DType products() {
        return weights.products();
    }

    /** The element type of the weights. */
    DType type() {
        return weights.weight().dtype();
    }

    /**
     * Applies the layer.
     *
     * @param input (…, in)
     * @param products the element type of operands and result
     * @return (…, out)
     */
    Dual forward(Dual input, DType products) {
        try (TensorScope scope = TensorScope.open()) {
            LinearWeights.Narrowed copy = products == DType.BFLOAT16 ? weights.narrowed() : null;
            Tensor offset = copy == null ? as(weights.bias(), products) : copy.bias();
            return input.to(products).linear(matrix(products), offset).keptFrom(scope);
        }
    }

    private Tensor matrix(DType products) {
        LinearWeights.Narrowed copy = products == DType.BFLOAT16 ? weights.narrowed() : null;
        return copy == null ? as(weights.weight(), products) : copy.weight();
    }

    /**
     * Adds the gradients of weight and bias, unless they are frozen.
     *
     * @param gradient of the result: (…, out)
     * @param input (…, in), as in {@link #forward}
     * @param products the element type of operands and result
     * @return the gradient of the input: (…, in)
     */
    Tensor backward(Tensor gradient, Tensor input, DType products) {
        addGradients(gradient, input, products);
        return inputGradient(gradient, products);
    }

    /** Does the first part of {@link #backward}; nothing for frozen weights. */
    void addGradients(Tensor gradient, Tensor input, DType products) {
        if (weights.areFrozen()) {
            return;
        }
        try (TensorScope scope = TensorScope.open()) {
            Tensor rows = rows(gradient, products);
            Tensor inputs = as(input, products).reshape(-1, weights.weight().size(1));
            Tensor sum = weights.gradient("weight");
            // On a GPU a product of bfloat16 is added to a float32 sum without rounding.
            if (sum.dtype() == products || sum.device().type() == Device.Type.CUDA) {
                sum.addmm_(rows.transpose(0, 1), inputs);
            } else {
                sum.add_(rows.transpose(0, 1).matmul(inputs));
            }
            weights.gradient("bias").add_(rows.sum(0));
        }
    }

    /** Does the second part of {@link #backward}. */
    Tensor inputGradient(Tensor gradient, DType products) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor result = rows(gradient, products).matmul(matrix(products));
            long[] shape = gradient.shape().toArray();
            shape[shape.length - 1] = weights.weight().size(1);
            return scope.keep(result.view(shape));
        }
    }

    private Tensor rows(Tensor gradient, DType products) {
        return as(gradient, products).reshape(-1, weights.weight().size(0));
    }

    private static Tensor as(Tensor tensor, DType type) {
        return tensor.dtype() == type ? tensor : tensor.to(type);
    }
}
