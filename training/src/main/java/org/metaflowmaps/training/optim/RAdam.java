package org.metaflowmaps.training.optim;

import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.kernel.AdamPass;

/** Rectified Adam (arXiv 1908.03265), computed as in PyTorch: plain momentum until the second moment is reliable. */
public final class RAdam implements Optimizer {
    private static final double LARGEST_SLOPE = 1e38;

    private final ParameterArena arena;
    private final double beta1;
    private final double beta2;
    private final double eps;
    private final Moments moments;
    private final UpdateCount updates;
    private final Tensor still;

    /**
     * Makes an optimiser for all parameters of an arena.
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
        this.updates = new UpdateCount(arena.values().device());
        try (TensorScope scope = TensorScope.open()) {
            this.still = Torch.zeros(DType.FLOAT32, arena.values().device()).retain();
        }
    }

    @Override
    public void step(Tensor learningRate, Tensor skip) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            updates.advance(skip);
            // Adam's fused step at rate 0 only updates the moments, and does not change them if skipped.
            Torch.fusedAdamW_(
                    arena.values(),
                    arena.gradients(),
                    moments.average(),
                    moments.squareAverage(),
                    new Torch.AdamScalars(updates.step(), still, skip),
                    new Torch.AdamRates(beta1, beta2, 0, eps));
            Denominator denominator = denominator(learningRate, skip);
            Tensor root = moments.squareAverage().sqrt().mul_(denominator.slope).add_(denominator.offset);
            arena.values().addcdiv_(moments.average(), root, -1);
        }
    }

    /** The divisor of the mean gradient: a slope times the root of the mean square, plus an offset. */
    private record Denominator(Tensor slope, Tensor offset) {}

    /**
     * With r the rate and the corrections, a rectified step divides by (root + eps) / r, a plain momentum step by 1 /
     * r, and a step that is skipped or of rate 0 by infinity. The choice is made on the device.
     */
    private Denominator denominator(Tensor learningRate, Tensor skip) {
        Tensor count = updates.count();
        Tensor left2 = count.mul(Math.log(beta2)).exp();
        Tensor correction1 = count.mul(Math.log(beta1)).exp().neg().add(1);
        Tensor correction2 = left2.neg().add(1);
        double limit = 2 / (1 - beta2) - 1;
        Tensor length = count.mul(left2).div(correction2).mul(-2).add(limit);
        Tensor trust = length.sub(4)
                .mul(length.sub(2))
                .mul(limit)
                .div(length)
                .div((limit - 4) * (limit - 2))
                .sqrt();
        Tensor zero = Torch.zerosLike(count);
        Tensor rectified = length.gt(5);
        Tensor moving = learningRate.mul(skip.neg().add(1)).gt(0);
        Tensor plain = correction1.div(learningRate);
        Tensor adaptive = plain.div(trust.mul(correction2.sqrt()));
        Tensor slope = Torch.where(moving, Torch.where(rectified, adaptive, zero), zero);
        Tensor offset = Torch.where(
                moving, Torch.where(rectified, adaptive.mul(eps), plain), zero.add(Double.POSITIVE_INFINITY));
        // An infinite slope times a root of 0 would be NaN.
        return new Denominator(
                slope.clampMax(LARGEST_SLOPE).to(arena.values().dtype()),
                offset.to(arena.values().dtype()));
    }

    /** Returns the settings of the same step with clipping. */
    AdamPass.Settings settings(double largestNorm) {
        return new AdamPass.Settings(beta1, beta2, eps, 0, largestNorm, true);
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
    public void resumeAt(long count) {
        updates.set(count);
    }

    @Override
    public Map<String, Tensor> moments() {
        return moments.byName();
    }

    @Override
    public void close() {
        moments.close();
        updates.close();
        still.close();
    }
}
