package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.time.Duration;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.sampler.SampleResult;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.particle.Rollout;
import org.metaflowmaps.steering.particle.Transition;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.Coefficient;

/**
 * Values V_t(x_t) = log E[e^{λ·r(I_1)} | I_t = x_t] of noised items, by simulated paths of the memoryless diffusion,
 * which serve as the truth, and by posterior draws of samplers (method §12 C). A value is the log-mean-exp of λ·r over
 * draws. All samplers use the same noise; paths use other noise.
 *
 * @param items to noise
 * @param tilt λ·r
 */
public record ValueEvaluation(NoisedItems items, Tilt tilt) {
    /** Rows evaluated at once. */
    private static final int ROWS = 256;

    /** Checks for null. */
    public ValueEvaluation {
        Preconditions.checkNotNull(items, "value evaluation: the items are null");
        Preconditions.checkNotNull(tilt, "value evaluation: the tilt is null");
    }

    /** Draws from the posteriors of some contexts, a number of each: (rows, item shape). */
    @FunctionalInterface
    private interface Drawing {
        SampleResult of(int first, int count, Context repeated);
    }

    /**
     * Computes values by paths of Euler and Maruyama's steps.
     *
     * @param drift b, of the map or exact
     * @param time t, above 0 and below 1
     * @param particles paths of each state: an even number, at least 2
     * @param steps of a path, at least 1
     * @throws IllegalArgumentException if an argument is out of range, or a value is not finite
     */
    public Values rollouts(Drift drift, double time, int particles, int steps) {
        Preconditions.checkArgument(
                time > 0 && time < 1,
                "rollouts: time %s, expected above 0, where the drift is finite, and below 1",
                time);
        Rollout rollout = new Rollout(
                new Transition.EulerMaruyama(drift, new Coefficient(Double.POSITIVE_INFINITY)),
                TimeGrid.linspace(time, steps));
        long evaluations = (long) steps * drift.evaluations(items.condition());
        return values(time, particles, (first, count, repeated) -> {
            long begin = System.nanoTime();
            Tensor ends = rollout.from(repeated.state(), repeated.condition(), items.noise(first, count, particles));
            return new SampleResult(ends, evaluations, Duration.ofNanos(System.nanoTime() - begin));
        });
    }

    /**
     * Computes values by posterior draws.
     *
     * @param sampler such as a posterior sampler or a GLASS sampler
     * @param time t, from 0 to below 1
     * @param draws of each state: an even number, at least 2
     * @throws IllegalArgumentException if an argument is out of range, or a value is not finite
     */
    public Values draws(Sampler<Context> sampler, double time, int draws) {
        Preconditions.checkNotNull(sampler, "value evaluation: the sampler is null");
        Preconditions.checkArgument(
                time >= 0 && time < 1, "value evaluation: time %s, expected at least 0 and below 1", time);
        return values(
                time, draws, (first, count, repeated) -> sampler.sample(items.draws(first, count, draws), repeated));
    }

    private Values values(double time, int draws, Drawing drawing) {
        Preconditions.checkArgument(
                draws >= 2 && draws % 2 == 0,
                "value evaluation: %s draws, expected an even number from 2 on, because halves are compared",
                draws);
        int atOnce = Math.max(1, ROWS / draws);
        double[] first = new double[items.count()];
        double[] second = new double[items.count()];
        long evaluations = 0;
        for (int from = 0; from < first.length; from += atOnce) {
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                int count = Math.min(atOnce, first.length - from);
                Context repeated = items.at(time, from, count).repeatInterleave(draws);
                SampleResult drawn = drawing.of(from, count, repeated);
                double[] halves = tilt.at(drawn.samples(), repeated.condition())
                        .to(DType.FLOAT64)
                        .reshape(count, 2, draws / 2)
                        .logsumexp(2)
                        .sub(Math.log(0.5 * draws))
                        .toDoubleArray();
                for (int i = 0; i < count; i++) {
                    first[from + i] = halves[2 * i];
                    second[from + i] = halves[2 * i + 1];
                }
                evaluations = drawn.evaluations();
            }
        }
        return new Values(first, second, evaluations);
    }
}
