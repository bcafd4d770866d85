package org.metaflowmaps.training.optim;

import java.util.Map;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The two moment buffers of Adam and its kin, with the names PyTorch gives them. */
record Moments(Tensor average, Tensor squareAverage) {
    static Moments like(Tensor flat) {
        try (TensorScope scope = TensorScope.open()) {
            return new Moments(Torch.zerosLike(flat).retain(), Torch.zerosLike(flat).retain());
        }
    }

    Map<String, Tensor> byName() {
        return Map.of("exp_avg", average, "exp_avg_sq", squareAverage);
    }

    void close() {
        average.close();
        squareAverage.close();
    }
}
