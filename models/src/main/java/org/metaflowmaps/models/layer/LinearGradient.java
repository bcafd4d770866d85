package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** A linear layer x·Wᵀ + b whose gradients are computed without a gradient graph, and added to the arena's. */
final class LinearGradient {
    private final LinearWeights weights;

    /** A layer of the tensors named weight (out, in) and bias (out). */
    LinearGradient(Weights weights) {
        this.weights = new LinearWeights(weights);
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
            Tensor matrix = copy == null ? as(weights.weight(), products) : copy.weight();
            Tensor offset = copy == null ? as(weights.bias(), products) : copy.bias();
            return input.to(products).linear(matrix, offset).keptFrom(scope);
        }
    }

    /**
     * Adds the gradients of weight and bias.
     *
     * @param gradient of the result: (…, out)
     * @param input (…, in), as in {@link #forward}
     * @param products the element type of operands and result
     * @return the gradient of the input: (…, in)
     */
    Tensor backward(Tensor gradient, Tensor input, DType products) {
        try (TensorScope scope = TensorScope.open()) {
            LinearWeights.Narrowed copy = products == DType.BFLOAT16 ? weights.narrowed() : null;
            Tensor weight = copy == null ? as(weights.weight(), products) : copy.weight();
            Tensor rows = as(gradient, products).reshape(-1, weight.size(0));
            Tensor inputs = as(input, products).reshape(-1, weight.size(1));
            Tensor sum = weights.gradient("weight");
            if (sum.dtype() == products) {
                sum.addmm_(rows.transpose(0, 1), inputs);
            } else {
                sum.add_(rows.transpose(0, 1).matmul(inputs));
            }
            weights.gradient("bias").add_(rows.sum(0));
            return scope.keep(rows.matmul(weight).view(input.shape()));
        }
    }

    private static Tensor as(Tensor tensor, DType type) {
        return tensor.dtype() == type ? tensor : tensor.to(type);
    }
}
