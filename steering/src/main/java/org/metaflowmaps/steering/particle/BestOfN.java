package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import java.util.concurrent.CancellationException;
import java.util.function.LongSupplier;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.OdeSampler;
import org.metaflowmaps.models.sampler.SampleResult;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.BadScoreException;
import org.metaflowmaps.steering.value.ScoreGuard;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.SteeringNoise.Use;

/**
 * Draws a pool of samples for each item without steering and keeps the best (method §8.3). Memory does not grow with the
 * pool, except for one number per sample.
 *
 * <p>Thread safety: immutable; several threads may search at once, each with its own noise.
 *
 * @param sampler draws the samples; not owned
 * @param tilt scores them. Its strength λ must be above 0 and has no other effect
 * @param pool P samples of each item, at least 1
 * @param batch samples drawn at once, at least 1; one of each item if there are more items
 */
public record BestOfN(Sampler<Condition> sampler, Tilt tilt, int pool, int batch) {
    private static final String WHAT = "best of N";
    private static final int MOST_WEIGHTS = 1 << 24;

    /**
     * The best sample of each item, in the scope that was innermost when they were drawn.
     *
     * @param samples (items, item shape)
     * @param scores r of {@code samples}, without λ: (items), float64
     * @param poolScores r of all samples drawn, in their order: (items, samples), float64; fewer than the pool if the
     *     search ended early
     * @param spent the cost per item: K + 1 evaluations for each sample that costs K
     */
    public record Result(Tensor samples, Tensor scores, Tensor poolScores, Spent spent) {
        /**
         * Returns the expected maximum over all subsets of a size of each item's pool: see
         * {@link BestOfN#expectedMaximum}. Reads the pool's scores.
         *
         * @param sizes N, each from 1 to the number of samples drawn
         * @return for each item, one number for each size
         */
        public double[][] expectedMaxima(int... sizes) {
            double[][] maxima = new double[Math.toIntExact(poolScores.size(0))][];
            int count = Math.toIntExact(poolScores.size(1));
            double[] all = poolScores.toDoubleArray();
            for (int item = 0; item < maxima.length; item++) {
                double[] own = Arrays.copyOfRange(all, item * count, (item + 1) * count);
                maxima[item] = Arrays.stream(sizes)
                        .mapToDouble(size -> expectedMaximum(own, size))
                        .toArray();
            }
            return maxima;
        }
    }

    /** Checks the ranges. */
    public BestOfN {
        Preconditions.checkNotNull(sampler, "%s: the sampler is null", WHAT);
        Preconditions.checkArgument(
                tilt.strength() > 0,
                "%s: lambda is %s, expected more than 0, because the search maximises the reward; to minimise it, give "
                        + "its negative",
                WHAT,
                tilt.strength());
        Preconditions.checkArgument(pool >= 1, "%s: a pool of %s samples, expected at least 1", WHAT, pool);
        Preconditions.checkArgument(batch >= 1, "%s: %s samples at once, expected at least 1", WHAT, batch);
    }

    /**
     * Draws along the flow's ODE by Euler steps of equal length, as the paper does with 250.
     *
     * @param map its drift is used; not owned
     * @param steps of each sample, at least 1
     */
    public static BestOfN ode(MetaFlowMap map, int steps, Tilt tilt, int pool, int batch) {
        return new BestOfN(new OdeSampler(new NetworkDrift(map), steps), tilt, pool, batch);
    }

    /**
     * Returns the mean, over all subsets of a size, of the largest score in the subset: Σ r_(i)·C(i-1, N-1)/C(P, N) with
     * scores r_(1) ≤ ... ≤ r_(P). It is unbiased for the expected best of N fresh samples, with less variance than the
     * maxima of disjoint groups.
     *
     * @param scores P scores in any order, finite or negative infinity
     * @param size N, from 1 to P
     * @return negative infinity if a subset has no finite score
     * @throws IllegalArgumentException if the size is out of range, or a score is NaN or positive infinity
     */
    public static double expectedMaximum(double[] scores, int size) {
        Preconditions.checkArgument(
                size >= 1 && size <= scores.length,
                "expected maximum: subsets of %s scores out of %s, expected 1 to %s",
                size,
                scores.length,
                scores.length);
        double[] sorted = scores.clone();
        Arrays.sort(sorted);
        // NaN is sorted last.
        Preconditions.checkArgument(
                sorted[sorted.length - 1] < Double.POSITIVE_INFINITY,
                "expected maximum: a score is %s, expected finite numbers or negative infinity",
                sorted[sorted.length - 1]);
        if (sorted[size - 1] == Double.NEGATIVE_INFINITY) {
            return Double.NEGATIVE_INFINITY;
        }
        double[] weights = weights(scores.length, size);
        double sum = 0;
        for (int i = scores.length; i >= size; i--) {
            sum += weights[i - 1] * sorted[i - 1];
        }
        return sum;
    }

    /**
     * Returns how probable each sample is to be the best of a random subset, C(i-1, N-1)/C(P, N) for the i-th smallest
     * score: with these weights any function of samples has the mean that it has over the best of N.
     *
     * @param count P, from 1 to 2²⁴
     * @param size N, from 1 to P
     * @return P weights in ascending order of the scores; their sum is 1
     * @throws IllegalArgumentException if a number is out of range
     */
    public static double[] subsetWeights(int count, int size) {
        Preconditions.checkArgument(
                count >= 1 && count <= MOST_WEIGHTS,
                "subset weights: %s samples, expected 1 to %s",
                count,
                MOST_WEIGHTS);
        Preconditions.checkArgument(
                size >= 1 && size <= count,
                "subset weights: subsets of %s of %s, expected 1 to %s",
                size,
                count,
                count);
        return weights(count, size);
    }

    private static double[] weights(int count, int size) {
        double[] weights = new double[count];
        // The weight of the largest is N/P; each next one is smaller by (i - N)/(i - 1).
        double logWeight = Math.log(size) - Math.log(count);
        for (int i = count; i >= size; i--) {
            weights[i - 1] = Math.exp(logWeight);
            if (i > size) {
                logWeight += Math.log(i - size) - Math.log(i - 1);
            }
        }
        return weights;
    }

    /** Searches without a limit and without a listener. */
    public Result run(SteeringNoise noise, Condition condition) {
        return run(noise, condition, Budget.NONE, SamplingListener.NONE);
    }

    /**
     * Draws the pool of each item of the noise, batch by batch.
     *
     * @param noise of the items, with one particle each. Candidates are its draws: START numbers begin a sample, and
     *     DIFFUSION numbers are for samplers that add noise
     * @param condition labels and guidance scales of the items, one for each
     * @param budget ends the search before the batch that would exceed it. A limit of evaluations makes the first batch
     *     one sample of each item, to learn what a sample costs; a time also ends the sampler's steps
     * @param listener called after every batch with the samples drawn and the pool; asked before every step of the sampler
     *     whether to cancel
     * @return tensors in the innermost open scope, without a gradient graph
     * @throws CancellationException if the listener cancels before the first batch is done
     * @throws IllegalArgumentException if shapes, types, devices, labels or scales do not fit, or if one sample exceeds
     *     the budget
     * @throws BadScoreException if a score was NaN or positive infinity; thrown only at the end, because nothing is
     *     read back before
     */
    public Result run(SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener) {
        return run(noise, condition, budget, listener, System::nanoTime);
    }

    Result run(SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener, LongSupplier clock) {
        Meter meter = new Meter(WHAT, budget, listener, clock);
        try (TensorScope scope = TensorScope.open();
                ScoreGuard guard = new ScoreGuard();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor like = noise.normal(Use.START, 0);
            long items = Meter.items(WHAT, noise, like, 1, condition);
            Pool found = new Pool(Torch.zerosLike(like), items, pool);
            int most = Math.toIntExact(Math.max(1, batch / items));
            boolean isCounted = budget.isCounted();
            long cost = 0;
            int done = 0;
            while (done < pool) {
                int count = Math.min(most, pool - done);
                if (isCounted) {
                    count = done == 0 ? 1 : (int) Math.min(count, Math.max(1, meter.left() / cost));
                }
                if (done > 0 && !meter.take(cost * count)) {
                    break;
                }
                Watch watch = new Watch(meter, listener, done > 0);
                try (TensorScope inner = TensorScope.open()) {
                    Condition rows = condition.repeatInterleave(count);
                    SampleResult drawn = sampler.sample(new Candidates(noise, done, count), rows, watch);
                    if (done == 0) {
                        cost = drawn.evaluations() + 1;
                        meter.require(cost * count);
                    }
                    Tensor scores = tilt.scoreWithoutAutocast(drawn.samples(), rows)
                            .to(DType.FLOAT64)
                            .reshape(items, count);
                    guard.record(tilt, done, noise, scores);
                    found.add(drawn.samples(), scores, done);
                } catch (CancellationException e) {
                    if (done == 0 || watch.reason == Spent.Ending.COMPLETE) {
                        throw e;
                    }
                    // The batch was counted whole; take back what was not evaluated.
                    meter.add(watch.evaluated((cost - 1) * count) - cost * count);
                    meter.end(watch.reason);
                    break;
                }
                if (budget.isTimed()) {
                    // Wait for the device: otherwise the time is that of the batch's submission.
                    guard.check();
                }
                done += count;
                listener.stepDone(done, pool);
            }
            guard.check();
            return new Result(
                    scope.keep(found.samples),
                    scope.keep(found.best),
                    scope.keep(found.all.narrow(1, 0, done).clone()),
                    meter.spent());
        }
    }

    /** Best samples and all scores, overwritten in place; the tensors belong to the scope where it was made. */
    private static final class Pool {
        private final Tensor samples;
        private final Tensor best;
        private final Tensor all;

        Pool(Tensor samples, long items, int pool) {
            Device device = samples.device();
            this.samples = samples;
            this.best = Torch.full(Double.NEGATIVE_INFINITY, DType.FLOAT64, device, items);
            this.all = Torch.empty(DType.FLOAT64, device, items, pool);
        }

        void add(Tensor drawn, Tensor scores, int done) {
            all.narrow(1, done, scores.size(1)).copy_(scores);
            Tensor top = scores.argmax(1).unsqueeze(1);
            Tensor candidates = drawn.indexSelect(0, GreedySearch.flat(top, scores.size(1)));
            Tensor score = scores.gather(1, top).squeeze(1);
            if (done == 0) {
                samples.copy_(candidates);
                best.copy_(score);
                return;
            }
            Tensor better = score.gt(best);
            samples.copy_(Torch.where(MetaFlowMap.perItem(better, samples), candidates, samples));
            best.copy_(best.maximum(score));
        }
    }

    /** Passes cancellation and the end of the budget's time to the base sampler, and counts its steps. */
    private static final class Watch implements SamplingListener {
        private final Meter meter;
        private final SamplingListener listener;
        private final boolean mayEnd;
        private int done;
        private int steps = 1;
        private Spent.Ending reason = Spent.Ending.COMPLETE;

        Watch(Meter meter, SamplingListener listener, boolean mayEnd) {
            this.meter = meter;
            this.listener = listener;
            this.mayEnd = mayEnd;
        }

        @Override
        public void stepDone(int step, int all) {
            done = step;
            steps = all;
        }

        @Override
        public boolean isCancelled() {
            if (listener.isCancelled()) {
                reason = Spent.Ending.CANCELLED;
            } else if (mayEnd && meter.isLate()) {
                reason = Spent.Ending.BUDGET;
            }
            return reason != Spent.Ending.COMPLETE;
        }

        /** Returns the share of a batch's evaluations that its steps had when it was abandoned. */
        long evaluated(long whole) {
            return whole * done / steps;
        }
    }
}
