package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Compares the mean Jacobian of posterior draws x̂₁ in the noisy state x_t with their covariance. Both are the
 * derivative of the posterior mean, so for a perfect map E[∂x̂₁/∂x_t] = t/(1-t)²·Cov(x̂₁ | x_t). Gradients of the value
 * function by automatic differentiation rely on the left side (method §6.2).
 *
 * <p>For every state and every pair (v, w) of directions, y is the mean over draws of w·(∂x̂₁/∂x_t)v, by automatic
 * differentiation, and x is t/(1-t)² times the sample covariance of w·x̂₁ and v·x̂₁. Both are estimates. Noise of x
 * would lower a regression's slope, and noise of both the correlation, so the last two numbers combine y of one half of
 * the draws with x of the other half: their noise is independent.
 *
 * @param time t
 * @param states number of independent noisy states, for the standard errors
 * @param pairs number n of pairs (x, y) over all states
 * @param correlation Pearson's r of x and y from all draws; below 1 by chance also for a perfect map
 * @param corrected correlation without the chance of draws: r(y, x) of different halves divided by √(r(x, x)·r(y, y))
 *     of different halves; may exceed 1 by chance
 * @param slope Σ y·x of different halves / Σ x·x of different halves; 1 for a perfect map
 */
public record JacobianFidelity(
        double time, int states, int pairs, Estimated correlation, Estimated corrected, Estimated slope) {
    /** A jackknife of fewer states says nothing. */
    private static final int FEWEST = 4;

    /** Estimates of all pairs and states: x and y from each half of the draws. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Sides(double[][] x, double[][] y) {}

    /**
     * Compares both sides at one time.
     *
     * @param sampler makes draws that are differentiable in the context's state, such as a posterior sampler of a frozen
     *     map
     * @param items to noise, at least 4
     * @param directions m directions, such as differences of items of unit length: (m, item shape), not owned
     * @param time t, above 0 and below 1
     * @param draws of each state: an even number, at least 4
     * @throws IllegalArgumentException if an argument is out of range
     */
    public static JacobianFidelity of(
            Sampler<Context> sampler, NoisedItems items, Tensor directions, double time, int draws) {
        Preconditions.checkNotNull(sampler, "jacobian: the sampler is null");
        Preconditions.checkArgument(time > 0 && time < 1, "jacobian: time %s, expected above 0 and below 1", time);
        Preconditions.checkArgument(
                draws >= 4 && draws % 2 == 0, "jacobian: %s draws, expected an even number from 4 on", draws);
        Preconditions.checkArgument(
                items.count() >= FEWEST, "jacobian: %s items, expected at least %s", items.count(), FEWEST);
        Preconditions.checkArgument(
                directions.dim() >= 2
                        && directions.size(0) >= 1
                        && directions
                                .shape()
                                .from(1)
                                .equals(items.clean().shape().from(1)),
                "jacobian: directions are %s, expected (m, item shape) of the items %s",
                directions,
                items.clean());
        int states = items.count();
        int squared = Math.toIntExact(directions.size(0) * directions.size(0));
        Sides sides = new Sides(new double[2 * states][squared], new double[2 * states][squared]);
        for (int i = 0; i < states; i++) {
            measure(sampler, items, directions, time, draws, i, sides);
        }
        return new JacobianFidelity(
                time,
                states,
                states * squared,
                Estimated.of(states, without -> correlation(sides, without)),
                Estimated.of(states, without -> corrected(sides, without)),
                Estimated.of(states, without -> slope(sides, without)));
    }

    /** Sets x and y of a state, at 2i for the first half of its draws and at 2i + 1 for the second. */
    private static void measure(
            Sampler<Context> sampler,
            NoisedItems items,
            Tensor directions,
            double time,
            int draws,
            int state,
            Sides sides) {
        try (TensorScope scope = TensorScope.open()) {
            Context context = items.at(time, state, 1).repeatInterleave(draws);
            Tensor noise = items.draws(state, 1, draws);
            long count = directions.size(0);
            double factor = time / ((1 - time) * (1 - time));
            for (int w = 0; w < count; w++) {
                try (TensorScope pass = TensorScope.open()) {
                    Tensor point = context.state().detach().requiresGrad_(true);
                    Tensor samples = sampler.sample(
                                    noise, Context.unchecked(context.time(), point, context.condition()))
                            .samples();
                    if (w == 0) {
                        Tensor seen = along(samples.detach(), directions);
                        Tensor apart = seen.sub(seen.mean(1).unsqueeze(1));
                        Tensor covariance = apart.transpose(1, 2).matmul(apart).mul(factor / (0.5 * draws - 1));
                        set(sides.x, state, covariance.reshape(2, count * count), 0);
                    }
                    Tensor cotangent = directions.narrow(0, w, 1).expand(samples.shape());
                    Tensor gradient = Autograd.gradients(samples, List.of(point), cotangent)
                            .getFirst();
                    set(sides.y, state, along(gradient, directions).mean(1), (int) (w * count));
                }
            }
        }
    }

    /** Returns the products of draws with all directions: (draws, item shape) to (2, draws / 2, m), float64. */
    private static Tensor along(Tensor draws, Tensor directions) {
        try (TensorScope scope = TensorScope.open()) {
            long count = draws.size(0);
            Tensor flat = directions.to(DType.FLOAT64).reshape(directions.size(0), -1);
            Tensor wide = draws.to(DType.FLOAT64).reshape(count, -1);
            return scope.keep(wide.matmul(flat.transpose(0, 1)).reshape(2, count / 2, directions.size(0)));
        }
    }

    /** Copies the halves' numbers, (2, length), into a state's arrays from an index on. */
    private static void set(double[][] into, int state, Tensor halves, int from) {
        int length = Math.toIntExact(halves.size(1));
        double[] numbers = halves.toDoubleArray();
        System.arraycopy(numbers, 0, into[2 * state], from, length);
        System.arraycopy(numbers, length, into[2 * state + 1], from, length);
    }

    private static double correlation(Sides sides, int without) {
        double[] x = mean(half(sides.x, 0, without), half(sides.x, 1, without));
        double[] y = mean(half(sides.y, 0, without), half(sides.y, 1, without));
        return covariance(x, y) / Math.sqrt(covariance(x, x) * covariance(y, y));
    }

    private static double corrected(Sides sides, int without) {
        double[] firstX = half(sides.x, 0, without);
        double[] secondX = half(sides.x, 1, without);
        double[] firstY = half(sides.y, 0, without);
        double[] secondY = half(sides.y, 1, without);
        double both = 0.5 * (covariance(firstY, secondX) + covariance(secondY, firstX));
        return both / Math.sqrt(covariance(firstX, secondX) * covariance(firstY, secondY));
    }

    private static double slope(Sides sides, int without) {
        double[] firstX = half(sides.x, 0, without);
        double[] secondX = half(sides.x, 1, without);
        double both = product(half(sides.y, 0, without), secondX) + product(half(sides.y, 1, without), firstX);
        return both / (2 * product(firstX, secondX));
    }

    /** Returns the numbers of a half, of all states except one. */
    private static double[] half(double[][] numbers, int half, int without) {
        return IntStream.range(0, numbers.length / 2)
                .filter(i -> i != without)
                .mapToObj(i -> numbers[2 * i + half])
                .flatMapToDouble(Arrays::stream)
                .toArray();
    }

    private static double[] mean(double[] first, double[] second) {
        double[] mean = new double[first.length];
        Arrays.setAll(mean, i -> 0.5 * (first[i] + second[i]));
        return mean;
    }

    private static double product(double[] first, double[] second) {
        double sum = 0;
        for (int i = 0; i < first.length; i++) {
            sum += first[i] * second[i];
        }
        return sum;
    }

    private static double covariance(double[] first, double[] second) {
        double count = first.length;
        double both = product(first, second) / count;
        return both
                - Arrays.stream(first).sum() / count * (Arrays.stream(second).sum() / count);
    }
}
