package org.metaflowmaps.models.model;

import java.util.List;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * A tangent by reverse mode only: the product of a cotangent c with the Jacobian is linear in c, so its gradient for c,
 * with the direction as weights, is the Jacobian times the direction. The result can be differentiated again.
 */
public final class ReverseTwice {
    private ReverseTwice() {}

    /**
     * The derivative of {@code output} along a direction.
     *
     * @param inputs its inputs, requiring gradients
     * @param direction of the inputs' shapes
     */
    public static Tensor tangent(Tensor output, List<Tensor> inputs, List<Tensor> direction) {
        Tensor cotangent = Torch.zerosLike(output).requiresGrad_(true);
        List<Tensor> products = Autograd.gradientsWithGraph(output, inputs, cotangent);
        Tensor sum = products.getFirst().mul(direction.getFirst()).sum();
        for (int i = 1; i < products.size(); i++) {
            sum = sum.add(products.get(i).mul(direction.get(i)).sum());
        }
        return Autograd.gradientsWithGraph(sum, List.of(cotangent), Torch.onesLike(sum))
                .getFirst();
    }
}
