package org.metaflowmaps.cli.command;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.ClassNames;
import org.metaflowmaps.cli.option.GraphsOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.ItemsOption;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.cli.report.SteeringProgress;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.CapturedSampler;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.particle.Budget;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.CapturedGradient;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.PointGraphs;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.steering.value.ValueGradient;

/** An open map with a reward and the items to draw; draws them in batches. */
final class SteeringInputs implements AutoCloseable {
    /** Two functions, such as a steered and an unsteered estimate, with batches of two sizes: the last may be smaller. */
    private static final int MOST_GRAPHS = 4;

    private final MetaFlowMap owned;
    private final MetaFlowMap map;
    private final LoadedReward reward;
    private final Tilt tilt;
    private final ClassNames names;
    private final @Nullable Double scale;
    private final ItemsOption items;
    private final Device device;
    private final long[] labels;
    private final TensorScope scope;
    private final Autocast mode;
    private final GraphsOption graphs;
    private final @Nullable PointGraphs steps;
    private final List<CapturedSampler<Condition>> samplers = new ArrayList<>();
    private volatile boolean stopping;

    /**
     * One batch's samples: (rows, item shape), and their rewards: (rows).
     *
     * @param isWhole false for the best that a search had when it was stopped
     */
    record Batch(Tensor samples, Tensor rewards, long evaluations, boolean isWhole) {
        /** A batch whose run was not stopped. */
        Batch(Tensor samples, Tensor rewards, long evaluations) {
            this(samples, rewards, evaluations, true);
        }
    }

    /** Draws a batch within a budget. */
    @FunctionalInterface
    interface BudgetedSampling {
        /**
         * Returns one sample for each item of the noise, in the innermost open scope. Throws a
         * {@link CancellationException} if the listener cancels and there are no results.
         */
        Batch of(SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener);
    }

    /** Draws a batch. */
    @FunctionalInterface
    interface Sampling {
        /** Returns one sample for each item of the noise, in the innermost open scope. */
        Batch of(SteeringNoise noise, Condition condition, SamplingListener listener);
    }

    /**
     * All samples, on the CPU.
     *
     * @param samples (items, item shape) float32; fewer items than wanted if the run was stopped
     * @param rewards without the strength
     * @param evaluations per sample, counted as in the paper; the mean if a limit of time made them differ
     * @param seconds of all samples
     * @param stopped what a stop left undone; empty if there was none
     */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Drawn(Tensor samples, double[] rewards, long evaluations, double seconds, Optional<String> stopped) {}

    /**
     * Takes over map, reward and mode.
     *
     * @throws IllegalArgumentException if classes do not fit the map; then nothing is taken over
     */
    SteeringInputs(
            MetaFlowMap map,
            LoadedReward reward,
            double strength,
            ClassNames names,
            @Nullable Double scale,
            ItemsOption items,
            Device device,
            Autocast mode,
            GraphsOption graphs) {
        try {
            this.labels = items.labels(map, names);
            double bytes = 4.0 * labels.length * map.itemShape().numel();
            FreeMemory.require(
                    "--count " + items.count() + ": " + labels.length + " results",
                    (long) (3 * bytes),
                    "lower --count, and draw in several runs");
        } catch (RuntimeException e) {
            mode.close();
            throw e;
        }
        this.owned = map;
        this.map = map.frozen();
        if (Autocast.isOn(device.type())) {
            this.map.parameters().narrow();
        }
        this.reward = reward;
        this.tilt = reward.tilt(strength);
        this.names = names;
        this.scale = scale;
        this.items = items;
        this.device = device;
        this.mode = mode;
        this.graphs = graphs;
        this.steps = graphs.isOn() ? new PointGraphs(device, MOST_GRAPHS) : null;
        this.scope = TensorScope.open();
    }

    /** Returns the map without gradients of its weights. */
    MetaFlowMap map() {
        return map;
    }

    /** Returns the map's drift. Labels and times of this run are valid, so it does not read them back. */
    Drift drift() {
        return new NetworkDrift(map, false);
    }

    /** Returns an estimator whose steps are CUDA graphs if they are wanted, for the calling thread. */
    ValueGradient captured(ValueGradient estimator) {
        return steps == null ? estimator : new CapturedGradient(estimator, steps);
    }

    /** Returns a value function whose draws are CUDA graphs if they are wanted, for the calling thread. */
    ValueFunction captured(ValueFunction value) {
        return steps == null ? value : value.captured(steps);
    }

    /** Returns a sampler whose runs are CUDA graphs if they are wanted, for the calling thread. */
    Sampler<Condition> captured(Sampler<Condition> sampler) {
        CapturedSampler<Condition> captured = graphs.of(sampler, map);
        if (captured == null) {
            return sampler;
        }
        samplers.add(captured);
        return captured;
    }

    /** Returns what scores depend on besides the reward's text. */
    Optional<String> rewardSettings() {
        return reward.settings();
    }

    /** Returns how samples are shown. */
    VisibleItems visible() {
        return new VisibleItems(map.itemShape(), reward.inputs().latents());
    }

    Tilt tilt() {
        return tilt;
    }

    /** Returns the label of every item. */
    long[] labels() {
        return labels;
    }

    /** Returns the number of states evaluated at once without gradients. */
    int atOnce() {
        return items.batch(map, 1);
    }

    /** Draws without a limit: see {@link #draw(String, int, int, int, Budget, BudgetedSampling)}. */
    Drawn draw(String task, int particles, int atOnce, int steps, Sampling sampling) {
        return draw(
                task,
                particles,
                atOnce,
                steps,
                Budget.NONE,
                (noise, condition, budget, listener) -> sampling.of(noise, condition, listener));
    }

    /**
     * Draws all items, a batch at a time; the result's tensors live until this object is closed. A {@link #stop} ends it
     * within a step, with the batches before, and with that one if the sampling has results.
     *
     * @param task for the progress display
     * @param particles states of each item
     * @param atOnce evaluations of each state at once
     * @param steps of each batch
     * @param budget its seconds are those of all items: each batch has its share of what is left
     * @throws StoppedException if it was stopped before there was a result
     */
    Drawn draw(String task, int particles, int atOnce, int steps, Budget budget, BudgetedSampling sampling) {
        int batch = items.batch(map, Math.multiplyExact(particles, atOnce));
        int total = labels.length;
        Tensor samples = Torch.empty(DType.FLOAT32, Device.CPU, map.itemShape().prepend(total));
        double[] rewards = new double[total];
        double evaluations = 0;
        int done = 0;
        int unfinished = 0;
        long begin = System.nanoTime();
        try (SteeringProgress progress =
                new SteeringProgress(task, steps, Math.ceilDiv(total, batch), () -> stopping)) {
            while (done < total && !stopping) {
                try (TensorScope part = TensorScope.open()) {
                    int size = Math.min(batch, total - done);
                    KeyedNoise noise = KeyedNoise.of(items.seed(), done, size, particles, map.itemShape(), device);
                    Budget share = share(budget, seconds(begin), (double) size / (total - done));
                    Batch drawn = sampling.of(noise, condition(done, size), share, progress);
                    samples.narrow(0, done, size).copy_(drawn.samples());
                    System.arraycopy(drawn.rewards().toDoubleArray(), 0, rewards, done, size);
                    evaluations += (double) drawn.evaluations() * size;
                    done += size;
                    unfinished = drawn.isWhole() ? 0 : size;
                    progress.batchDone();
                } catch (CancellationException e) {
                    if (!stopping) {
                        throw e;
                    }
                }
            }
        }
        if (done == 0) {
            throw new StoppedException(task + ": stopped before the first sample was done, so nothing was written");
        }
        boolean isStopped = done < total || unfinished > 0;
        return new Drawn(
                done == total ? samples : samples.narrow(0, 0, done),
                Arrays.copyOf(rewards, done),
                Math.round(evaluations / done),
                seconds(begin),
                isStopped ? Optional.of(stopped(done, unfinished)) : Optional.empty());
    }

    private String stopped(int done, int unfinished) {
        String what = "stopped after " + done + " of " + labels.length + " samples";
        return unfinished == 0
                ? what
                : what + ", of which the last " + unfinished + " are the best that was found until then";
    }

    private static double seconds(long begin) {
        return (System.nanoTime() - begin) * 1e-9;
    }

    /** Returns the budget of a batch, which is a share of the items left. */
    private static Budget share(Budget whole, double spent, double part) {
        double left = Math.max(Double.MIN_NORMAL, (whole.seconds() - spent) * part);
        return whole.isTimed() ? new Budget(whole.evaluations(), left) : whole;
    }

    /** Ends a drawing within one step; may be called by any thread. */
    void stop() {
        stopping = true;
    }

    /** Returns the condition of the first item, to count evaluations with. */
    Condition first() {
        return condition(0, 1);
    }

    private Condition condition(int from, int size) {
        Tensor given = map.classes() == 0
                ? null
                : Torch.of(Arrays.copyOfRange(labels, from, from + size)).to(device);
        return GuidanceOption.of(scale, map, given);
    }

    private int classes() {
        return labels.length / items.count();
    }

    void requireRoom(boolean compare) {
        visible().requireRoom(classes() * (compare ? 2L : 1L), items.count());
    }

    /** Returns a row for every class, and with base samples one of them above each. */
    ImageGrid picture(Drawn drawn, @Nullable Drawn base) {
        List<String> columns = new ArrayList<>();
        for (int i = 1; i <= items.count(); i++) {
            columns.add(Integer.toString(i));
        }
        ImageGrid grid = visible().grid(columns);
        int drawnRows = Math.ceilDiv(drawn.rewards().length, items.count());
        for (int row = 0; row < drawnRows; row++) {
            String name = names.of(labels[row * items.count()]);
            int size = Math.min(items.count(), drawn.rewards().length - row * items.count());
            if (base != null) {
                grid.row(name + ", before", pixels(base, row, size));
            }
            grid.row(base == null ? name : name + ", after", pixels(drawn, row, size));
        }
        return grid;
    }

    private float[] pixels(Drawn drawn, int row, int size) {
        try (TensorScope part = TensorScope.open()) {
            return visible().pixels(drawn.samples().narrow(0, (long) row * items.count(), size));
        }
    }

    @Override
    public void close() {
        samplers.forEach(CapturedSampler::close);
        if (steps != null) {
            steps.close();
        }
        scope.close();
        mode.close();
        map.close();
        reward.close();
        owned.close();
    }
}
