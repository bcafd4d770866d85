package org.metaflowmaps.steering;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Errors of posterior draws as estimates of clean items noised to a time t.
 *
 * <p>All errors are root mean squares over elements and items. The best estimate is the posterior mean. The mean of
 * correct draws is near it, and their spread is the uncertainty given the noisy state.
 *
 * @param time t
 * @param meanOfDraws error of the mean of an item's draws
 * @param scaledState error of x_t / t, the unbiased estimate without knowledge of the data
 * @param reference error of a given estimate, such as the class mean
 * @param spread standard deviation of an item's draws
 */
public record PosteriorEvaluation(
        double time, double meanOfDraws, double scaledState, double reference, double spread) {
    /** Items evaluated at once; their draws are one batch. */
    private static final int CHUNK = 16;

    /**
     * Noises items to a time and draws from their posteriors.
     *
     * @param sampler the map and its number of steps
     * @param items clean: (N, item shape), at least one
     * @param condition labels and guidance scales of the N items
     * @param references the estimate to compare with: (N, item shape)
     * @param time t, in (0, 1)
     * @param draws per item, at least 2
     * @param random draws all noise
     * @throws IllegalArgumentException if an argument is out of range
     */
    public static PosteriorEvaluation of(
            PosteriorSampler sampler,
            Tensor items,
            Condition condition,
            Tensor references,
            double time,
            int draws,
            RandomSource random) {
        Preconditions.checkArgument(
                time > 0 && time < 1, "posterior evaluation: time %s, expected above 0 and below 1", time);
        Preconditions.checkArgument(
                draws >= 2, "posterior evaluation: %s draws, expected at least 2 for a spread", draws);
        Preconditions.checkArgument(items.size(0) > 0, "posterior evaluation: no items, expected at least one");
        double[] sums = new double[4];
        for (long from = 0; from < items.size(0); from += CHUNK) {
            long count = Math.min(CHUNK, items.size(0) - from);
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                Tensor clean = items.narrow(0, from, count);
                Context context = noised(clean, condition.slice(from, count), time, random);
                Tensor drawn = sampler.sample(random, context, draws).samples();
                sums[0] += squares(drawn.mean(1).sub(clean));
                sums[1] += squares(context.state().div(time).sub(clean));
                sums[2] += squares(references.narrow(0, from, count).sub(clean));
                sums[3] += drawn.var(1).sum().item();
            }
        }
        double elements = items.numel();
        return new PosteriorEvaluation(
                time,
                Math.sqrt(sums[0] / elements),
                Math.sqrt(sums[1] / elements),
                Math.sqrt(sums[2] / elements),
                Math.sqrt(sums[3] / elements));
    }

    /** Returns contexts of clean items noised to a time, in the innermost open scope. */
    public static Context noised(Tensor clean, Condition condition, double time, RandomSource random) {
        Tensor times = Torch.full(time, clean.dtype(), clean.device(), clean.size(0));
        return new Context(times, LinearInterpolant.state(random.normal(clean.shape()), clean, times), condition);
    }

    private static double squares(Tensor difference) {
        return difference.square().sum().item();
    }
}
