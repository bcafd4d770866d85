package org.metaflowmaps.training.optim;

import com.google.common.base.Preconditions;
import com.google.common.collect.ImmutableMap;
import java.util.Map;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The two moment buffers of Adam and its variants, with PyTorch's names. */
record Moments(Tensor average, Tensor squareAverage) {
    /** Checks the decays and epsilon before anything is allocated. */
    static void check(double beta1, double beta2, double eps) {
        Preconditions.checkArgument(beta1 >= 0 && beta1 < 1, "optimiser: beta1 is %s, expected 0 to below 1", beta1);
        Preconditions.checkArgument(beta2 >= 0 && beta2 < 1, "optimiser: beta2 is %s, expected 0 to below 1", beta2);
        Preconditions.checkArgument(eps > 0, "optimiser: eps is %s, expected more than 0", eps);
    }

    static Moments like(Tensor flat) {
        try (TensorScope scope = TensorScope.open()) {
            return new Moments(
                    Torch.zerosLike(flat).retain(), Torch.zerosLike(flat).retain());
        }
    }

    /** Returns the buffers in a fixed order, so that checkpoints' bytes do not vary. */
    Map<String, Tensor> byName() {
        return ImmutableMap.of("exp_avg", average, "exp_avg_sq", squareAverage);
    }

    void close() {
        average.close();
        squareAverage.close();
    }
}
