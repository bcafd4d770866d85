package org.metaflowmaps.training.optim;

import com.google.common.base.Preconditions;
import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.kernel.AdamPass;

/** Adam with decoupled weight decay (arXiv 1711.05101), by libtorch's fused kernel: one pass over memory. */
public final class AdamW implements Optimizer {
    private final ParameterArena arena;
    private final Torch.AdamRates rates;
    private final Moments moments;
    private final UpdateCount updates;

    /**
     * Makes an optimiser for all parameters of an arena.
     *
     * @param beta1 decay of the mean, usually 0.9
     * @param beta2 decay of the mean square, usually 0.95 to 0.999
     * @param eps added to the root of the mean square, usually 1e-8
     * @param weightDecay pull towards zero per unit of learning rate, 0 for none
     */
    public AdamW(ParameterArena arena, double beta1, double beta2, double eps, double weightDecay) {
        Moments.check(beta1, beta2, eps);
        Preconditions.checkArgument(weightDecay >= 0, "optimiser: weight decay is %s, expected 0 or more", weightDecay);
        this.arena = arena;
        this.rates = new Torch.AdamRates(beta1, beta2, weightDecay, eps);
        this.moments = Moments.like(arena.values());
        this.updates = new UpdateCount(arena.values().device());
    }

    @Override
    public void step(Tensor learningRate, Tensor skip) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            updates.advance(skip);
            // Only libtorch's CPU kernel accepts a float64 rate.
            Tensor rate =
                    learningRate.device().type() == Device.Type.CPU ? learningRate : learningRate.to(DType.FLOAT32);
            Torch.fusedAdamW_(
                    arena.values(),
                    arena.gradients(),
                    moments.average(),
                    moments.squareAverage(),
                    new Torch.AdamScalars(updates.step(), rate, skip),
                    rates);
        }
    }

    /** Returns the settings of the same step with clipping. */
    AdamPass.Settings settings(double largestNorm) {
        return new AdamPass.Settings(
                rates.beta1(), rates.beta2(), rates.eps(), rates.weightDecay(), largestNorm, false);
    }

    Moments buffers() {
        return moments;
    }

    UpdateCount updates() {
        return updates;
    }

    @Override
    public ParameterArena arena() {
        return arena;
    }

    @Override
    public long steps() {
        return updates.read();
    }

    @Override
    public void resumeAt(long taken) {
        updates.set(taken);
    }

    @Override
    public Map<String, Tensor> moments() {
        return moments.byName();
    }

    @Override
    public void close() {
        moments.close();
        updates.close();
    }
}
