package org.metaflowmaps.training.optim;

import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Rectified Adam (arXiv 1908.03265) as PyTorch computes it: plain momentum until the second moment is worth trusting.
 */
public final class RAdam implements Optimizer {
    private final ParameterArena arena;
    private final double beta1;
    private final double beta2;
    private final double eps;
    private final Moments moments;
    private long steps;

    /**
     * An optimiser for all parameters of an arena.
     *
     * @param beta1 decay of the mean, usually 0.9
     * @param beta2 decay of the mean square, usually 0.999
     * @param eps added to the root of the mean square, usually 1e-8
     */
    public RAdam(ParameterArena arena, double beta1, double beta2, double eps) {
        Moments.check(beta1, beta2, eps);
        this.arena = arena;
        this.beta1 = beta1;
        this.beta2 = beta2;
        this.eps = eps;
        this.moments = Moments.like(arena.values());
    }

    @Override
    public void step(double learningRate) {
        steps++;
        double taken = steps;
        double correction1 = 1 - Math.pow(beta1, taken);
        double correction2 = 1 - Math.pow(beta2, taken);
        double limit = 2 / (1 - beta2) - 1;
        double length = limit - 2 * taken * Math.pow(beta2, taken) / correction2;
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor gradients = arena.gradients();
            moments.average().lerp_(gradients, 1 - beta1);
            moments.squareAverage().mul_(beta2).addcmul_(gradients, gradients, 1 - beta2);
            double rate = -learningRate / correction1;
            if (length > 5) {
                double rectification = Math.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length));
                Tensor root = moments.squareAverage().sqrt().add_(eps);
                arena.values().addcdiv_(moments.average(), root, rate * rectification * Math.sqrt(correction2));
            } else {
                arena.values().add_(moments.average().mul(rate));
            }
        }
    }

    @Override
    public long steps() {
        return steps;
    }

    @Override
    public void resumeAt(long count) {
        steps = count;
    }

    @Override
    public Map<String, Tensor> moments() {
        return moments.byName();
    }

    @Override
    public void close() {
        moments.close();
    }
}
