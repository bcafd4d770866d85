package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.GlassSampler;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.metric.MaximumMeanDiscrepancy;
import org.metaflowmaps.steering.metric.SlicedWasserstein;

/**
 * Distances between posterior draws and exact draws for a Gaussian mixture: equal numbers of draws of the same
 * posterior, averaged over contexts x_t = I_t of fresh data (method §12 B and D). No labels are given.
 *
 * <p>All comparisons at one time share contexts, initial noise, exact draws and projections. The floor, the distance of
 * two exact samples of that size, is the best possible result.
 */
public final class MixtureEvaluation implements AutoCloseable {
    private static final long PROJECTION_SEED = 0x51ced;

    /** Pairs of draws whose kernels are in memory at once. */
    private static final long PAIRS = 1L << 22;

    private final GaussianMixture mixture;
    private final Settings settings;
    private final SlicedWasserstein wasserstein;
    private final MaximumMeanDiscrepancy discrepancy = new MaximumMeanDiscrepancy();
    private final List<Case> cases = new ArrayList<>();

    /**
     * Settings of an evaluation.
     *
     * @param times t of the contexts, each in [0, 1)
     * @param contexts posteriors at each time, at least 1
     * @param draws draws of each posterior, at least 2
     * @param projections directions of the sliced distance, at least 1
     * @param discrepancy also compute the maximum mean discrepancy, which takes much longer
     * @param seed of contexts, noise and exact draws
     */
    public record Settings(
            List<Double> times, int contexts, int draws, int projections, boolean discrepancy, long seed) {
        /** Checks the ranges. */
        public Settings {
            Preconditions.checkArgument(
                    !times.isEmpty() && times.stream().allMatch(time -> time >= 0 && time < 1),
                    "mixture evaluation: times are %s, expected at least one, all from 0 to below 1",
                    times);
            Preconditions.checkArgument(
                    contexts >= 1, "mixture evaluation: %s contexts, expected at least 1", contexts);
            Preconditions.checkArgument(draws >= 2, "mixture evaluation: %s draws, expected at least 2", draws);
            Preconditions.checkArgument(
                    projections >= 1, "mixture evaluation: %s projections, expected at least 1", projections);
            times = List.copyOf(times);
        }
    }

    /**
     * Means over contexts.
     *
     * @param slicedWasserstein sliced W2 between draws and exact draws
     * @param squaredDiscrepancy unbiased squared MMD, which may be negative; NaN if not requested
     */
    public record Distance(double slicedWasserstein, double squaredDiscrepancy) {}

    /** The fixed inputs of one time; the evaluation owns the tensors. */
    private record Case(
            double time, Context context, Tensor noise, Tensor exact, Tensor sorted, Tensor scale, Distance floor) {}

    /**
     * Draws contexts, noise and exact posteriors.
     *
     * @param mixture the data, not owned
     */
    public MixtureEvaluation(GaussianMixture mixture, Settings settings) {
        this.mixture = mixture;
        this.settings = settings;
        this.wasserstein =
                new SlicedWasserstein(mixture.dimension(), settings.projections, PROJECTION_SEED, mixture.device());
        try (RandomSource random = RandomSource.seeded(settings.seed, mixture.device());
                Autograd.Mode off = Autograd.noGrad()) {
            for (double time : settings.times) {
                try (TensorScope scope = TensorScope.open()) {
                    cases.add(drawn(time, random));
                }
            }
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    private Case drawn(double time, RandomSource random) {
        int count = settings.contexts;
        Tensor data = mixture.sample(random, count);
        Tensor times = Torch.full(time, data.dtype(), data.device(), count);
        Context context = new Context(times, LinearInterpolant.state(random.normal(data.shape()), data, times));
        Tensor noise = random.normal((long) count * settings.draws, mixture.dimension());
        Tensor exact = mixture.posterior(random, context, settings.draws);
        Tensor sorted = wasserstein.projected(exact);
        Tensor scale = settings.discrepancy ? inGroups(exact, MaximumMeanDiscrepancy::scale) : Torch.zeros(1);
        Case bare = new Case(time, context, noise, exact, sorted, scale, new Distance(0, 0));
        Distance floor = distance(bare, mixture.posterior(random, context, settings.draws));
        for (Tensor kept : List.of(times, context.state(), noise, exact, sorted, scale)) {
            kept.retain();
        }
        return new Case(time, context, noise, exact, sorted, scale, floor);
    }

    /** Returns each time's floor, in the order of the times. */
    public List<Distance> floor() {
        return cases.stream().map(Case::floor).toList();
    }

    /**
     * Evaluates a map's few-step draws.
     *
     * @param map of items (d), on the mixture's device, not owned
     * @param steps flow-map steps per draw, one comparison each
     * @return by number of steps, each in the order of the times
     */
    public Map<Integer, List<Distance>> map(MetaFlowMap map, List<Integer> steps) {
        Preconditions.checkArgument(
                map.itemShape().dim() == 1 && map.itemShape().size(0) == mixture.dimension(),
                "mixture evaluation: the map takes items of the shape %s, the mixture has %s coordinates: give"
                        + " the map's own mixture",
                map.itemShape(),
                mixture.dimension());
        Map<Integer, List<Distance>> all = new LinkedHashMap<>();
        for (int count : steps) {
            all.put(count, compared(new PosteriorSampler(map, count)));
        }
        return all;
    }

    /**
     * Evaluates Euler steps on the conditional drift of GLASS with the mixture's exact drift, which needs no training.
     *
     * @param steps evaluations of the drift per draw, one comparison each, each at least 1
     * @return by number of steps, each in the order of the times
     */
    public Map<Integer, List<Distance>> glass(List<Integer> steps) {
        ConditionalDrift drift = new Glass(mixture.drift());
        Map<Integer, List<Distance>> all = new LinkedHashMap<>();
        for (int count : steps) {
            all.put(count, compared(new GlassSampler(drift, count)));
        }
        return all;
    }

    private List<Distance> compared(Sampler<Context> sampler) {
        List<Distance> distances = new ArrayList<>();
        for (Case at : cases) {
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                Tensor drawn = sampler.sample(at.noise, at.context.repeatInterleave(settings.draws))
                        .samples();
                distances.add(distance(at, drawn.reshape(at.exact.shape())));
            }
        }
        return distances;
    }

    private Distance distance(Case at, Tensor drawn) {
        try (TensorScope scope = TensorScope.open()) {
            double sliced = SlicedWasserstein.between(wasserstein.projected(drawn), at.sorted)
                    .mean()
                    .item();
            if (!settings.discrepancy) {
                return new Distance(sliced, Double.NaN);
            }
            double sum = 0;
            long chunk = chunk();
            for (long from = 0; from < settings.contexts; from += chunk) {
                try (TensorScope inner = TensorScope.open()) {
                    long count = Math.min(chunk, settings.contexts - from);
                    sum += discrepancy
                            .squared(
                                    drawn.narrow(0, from, count),
                                    at.exact.narrow(0, from, count),
                                    at.scale.narrow(0, from, count))
                            .sum()
                            .item();
                }
            }
            return new Distance(sliced, sum / settings.contexts);
        }
    }

    private Tensor inGroups(Tensor samples, UnaryOperator<Tensor> measure) {
        List<Tensor> parts = new ArrayList<>();
        long chunk = chunk();
        for (long from = 0; from < settings.contexts; from += chunk) {
            parts.add(measure.apply(samples.narrow(0, from, Math.min(chunk, settings.contexts - from))));
        }
        return Torch.cat(0, parts.toArray(Tensor[]::new));
    }

    private long chunk() {
        return Math.max(1, PAIRS / ((long) settings.draws * settings.draws));
    }

    @Override
    public void close() {
        wasserstein.close();
        for (Case at : cases) {
            for (Tensor kept :
                    List.of(at.context.time(), at.context.state(), at.noise, at.exact, at.sorted, at.scale)) {
                kept.close();
            }
        }
    }
}
