package org.metaflowmaps.training.optim;

import com.google.common.base.Preconditions;
import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Adam with decoupled weight decay (arXiv 1711.05101), by libtorch's fused kernel: one pass over memory. */
public final class AdamW implements Optimizer {
    private final ParameterArena arena;
    private final double beta1;
    private final double beta2;
    private final double eps;
    private final double weightDecay;
    private final Moments moments;
    private final Tensor counter;
    private long steps;

    /**
     * An optimiser for all parameters of an arena.
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
        this.beta1 = beta1;
        this.beta2 = beta2;
        this.eps = eps;
        this.weightDecay = weightDecay;
        this.moments = Moments.like(arena.values());
        try (TensorScope scope = TensorScope.open()) {
            this.counter = Torch.zeros(arena.values().dtype(), arena.values().device()).retain();
        }
    }

    @Override
    public void step(double learningRate) {
        steps++;
        try (Autograd.Mode off = Autograd.noGrad()) {
            counter.fill_((double) steps);
            Torch.fusedAdamW_(arena.values(), arena.gradients(), moments.average(), moments.squareAverage(), counter,
                    new Torch.AdamRates(learningRate, beta1, beta2, weightDecay, eps));
        }
    }

    @Override
    public long steps() {
        return steps;
    }

    @Override
    public void resumeAt(long taken) {
        steps = taken;
    }

    @Override
    public Map<String, Tensor> moments() {
        return moments.byName();
    }

    @Override
    public void close() {
        moments.close();
        counter.close();
    }
}
