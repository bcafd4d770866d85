package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import java.util.Optional;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.evaluation.FrontierResult.Time;
import org.metaflowmaps.steering.particle.Budget;
import org.metaflowmaps.steering.particle.GreedySearch;
import org.metaflowmaps.steering.particle.ParticleFilter;
import org.metaflowmaps.steering.particle.ParticleResult;
import org.metaflowmaps.steering.particle.Potential;
import org.metaflowmaps.steering.particle.Transition;
import org.metaflowmaps.steering.particle.TreeSearch;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.CorrectionScale;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.Schedule;
import org.metaflowmaps.steering.sampler.SteeredResult;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.GradientFree;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.NoSteering;
import org.metaflowmaps.steering.value.PosteriorMeanGradient;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.steering.value.ValueGradient;

/** Draws the samples of each method of {@link SteeringFrontier}, without labels. */
final class FrontierSamplers {
    private static final double START = 0.01;
    /** Items of an untimed draw before the first. */
    private static final int WARM_UP = 8;

    /** Draws of one state that are evaluated at once. */
    private static final int CHUNK = 8;
    /** Levels of the tree search. */
    private static final int DEPTH = 5;

    private static final double TREE_POWER = 2.5;
    /** The particle filter resamples below this share of the particles. */
    private static final double RESAMPLE_BELOW = 0.5;

    private final MetaFlowMap map;
    private final Drift drift;
    private final Tilt tilt;
    private final FrontierSettings settings;
    private final Device device;
    private final int rows;
    private boolean warm;

    /**
     * Samples of some items.
     *
     * @param samples (items, item shape), on the CPU, in the innermost open scope
     * @param evaluations per item
     * @param time of all
     */
    record Drawn(Tensor samples, long evaluations, Time time) {}

    /** A batch's samples: (items, item shape). */
    private record Batch(Tensor samples, long evaluations) {}

    /** Draws one sample for each item of the noise. */
    @FunctionalInterface
    private interface Sampling {
        Batch of(SteeringNoise noise);
    }

    /**
     * How a method draws.
     *
     * @param particles of each item
     * @param states of each item evaluated at once
     */
    private record Plan(int particles, int states, Sampling sampling) {}

    /**
     * Makes the samplers.
     *
     * @param map without gradients of its weights; not owned
     * @param rows states that are evaluated at once
     */
    FrontierSamplers(MetaFlowMap map, Tilt tilt, FrontierSettings settings, Device device, int rows) {
        Preconditions.checkArgument(rows >= 1, "frontier: %s states at once, expected at least 1", rows);
        this.map = map;
        this.drift = new NetworkDrift(map, false);
        this.tilt = tilt;
        this.settings = settings;
        this.device = device;
        this.rows = rows;
    }

    /** Draws one sample for each item. An item's sample depends on its number alone, except for rounding. */
    Drawn draw(FrontierCell cell, long[] items) {
        if (!warm) {
            // Without it the first cell's time would include the JIT compiler's.
            warm = true;
            draw(new FrontierCell(FrontierMethod.MFM_G, 1), Arrays.copyOf(items, Math.min(items.length, WARM_UP)));
        }
        Plan plan = plan(cell);
        int batch = Math.max(1, rows / plan.states);
        Tensor all = Torch.empty(DType.FLOAT32, Device.CPU, map.itemShape().prepend(items.length));
        long evaluations = 0;
        long begin = System.nanoTime();
        double processor = processorSeconds();
        for (int from = 0; from < items.length; from += batch) {
            try (TensorScope scope = TensorScope.open()) {
                int to = Math.min(items.length, from + batch);
                SteeringNoise noise = new KeyedNoise(
                        settings.seed(),
                        Arrays.copyOfRange(items, from, to),
                        plan.particles,
                        map.itemShape(),
                        DType.FLOAT32,
                        device);
                Batch drawn = plan.sampling.of(noise);
                // The copy to the CPU waits for the device, so that the time is complete.
                all.narrow(0, from, to - from).copy_(drawn.samples);
                evaluations = drawn.evaluations;
            }
        }
        return new Drawn(
                all, evaluations, new Time((System.nanoTime() - begin) * 1e-9, processorSeconds() - processor));
    }

    /** Returns the processor time of this process so far; NaN if unknown, or if a GPU computes. */
    private double processorSeconds() {
        return device.equals(Device.CPU)
                ? ProcessHandle.current()
                        .info()
                        .totalCpuDuration()
                        .map(duration -> duration.toNanos() * 1e-9)
                        .orElse(Double.NaN)
                : Double.NaN;
    }

    private Plan plan(FrontierCell cell) {
        int n = cell.setting();
        return switch (cell.method()) {
            case BASE, BEST_OF -> steered(new NoSteering(drift), 1, CorrectionScale.EXACT);
            case MFM_G -> steered(gradient(n), n, CorrectionScale.EXACT);
            case MFM_G_RESCALED -> steered(gradient(n), n, CorrectionScale.PAPER);
            case MFM_GF ->
                steered(new GradientFree(drift, value(n), GradientFree.Centre.DRAWS), n, CorrectionScale.EXACT);
            case DPS -> steered(new PosteriorMeanGradient(drift, tilt, Coefficient.PAPER), 1, CorrectionScale.EXACT);
            case SEARCH -> search(n);
            case TREE -> tree(n);
            case SMC -> filter(n);
        };
    }

    private ValueFunction value(int draws) {
        return new ValueFunction(map, tilt, draws, ValueFunction.Noise.IID, Math.min(draws, CHUNK));
    }

    private ValueGradient gradient(int draws) {
        return new MonteCarloGradient(drift, value(draws), Coefficient.PAPER);
    }

    private Plan steered(ValueGradient estimator, int draws, CorrectionScale scale) {
        SteeredSampler sampler = new SteeredSampler(
                Schedule.always(estimator),
                TimeGrid.linspace(START, settings.steps()),
                Dynamics.ODE,
                scale,
                Optional.empty(),
                false);
        return new Plan(1, Math.min(draws, CHUNK), noise -> {
            SteeredResult result = sampler.sample(noise, Condition.none());
            return new Batch(result.samples(), result.evaluations());
        });
    }

    private Plan search(int particles) {
        GreedySearch search = new GreedySearch(
                value(settings.particleDraws()),
                GreedySearch.paperGrid(settings.steps()),
                particles,
                GreedySearch.Resampling.MAX_OVERALL,
                GreedySearch.Renoising.STOCHASTIC);
        return new Plan(particles, particles * Math.min(settings.particleDraws(), CHUNK), noise -> {
            GreedySearch.Result result = search.run(noise, Condition.none());
            return new Batch(result.samples(), result.spent().evaluations());
        });
    }

    private Plan tree(int simulations) {
        TreeSearch search =
                new TreeSearch(map, tilt, TimeGrid.linspace(START, DEPTH).power(TREE_POWER), settings.particleDraws());
        Budget budget = Budget.ofEvaluations(simulations * search.evaluations());
        return new Plan(1, settings.particleDraws(), noise -> {
            TreeSearch.Result result = search.run(noise, Condition.none(), budget, SamplingListener.NONE);
            return new Batch(result.samples(), result.spent().evaluations());
        });
    }

    private Plan filter(int particles) {
        ParticleFilter filter = new ParticleFilter(
                Potential.of(value(settings.particleDraws())),
                new Transition.PosteriorDraw(map),
                TimeGrid.uniform(settings.steps()),
                particles,
                RESAMPLE_BELOW);
        return new Plan(particles, particles * Math.min(settings.particleDraws(), CHUNK), noise -> {
            ParticleResult result = filter.run(noise, Condition.none());
            return new Batch(result.samples(), result.evaluations());
        });
    }
}
