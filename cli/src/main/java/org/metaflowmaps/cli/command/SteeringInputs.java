package org.metaflowmaps.cli.command;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.ClassNames;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.ItemsOption;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.cli.report.SteeringProgress;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.SteeringNoise;

/** An open map with a reward and the items to draw; draws them in batches. */
final class SteeringInputs implements AutoCloseable {
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

    /** One batch's samples: (rows, item shape), and their rewards: (rows). */
    record Batch(Tensor samples, Tensor rewards, long evaluations) {}

    /** Draws a batch. */
    @FunctionalInterface
    interface Sampling {
        /** Returns one sample for each item of the noise, in the innermost open scope. */
        Batch of(SteeringNoise noise, Condition condition, SamplingListener listener);
    }

    /**
     * All samples, on the CPU.
     *
     * @param samples (items, item shape) float32
     * @param rewards without the strength
     * @param evaluations per sample, counted as in the paper
     * @param seconds of all samples
     */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Drawn(Tensor samples, double[] rewards, long evaluations, double seconds) {}

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
            Autocast mode) {
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
        this.reward = reward;
        this.tilt = reward.tilt(strength);
        this.names = names;
        this.scale = scale;
        this.items = items;
        this.device = device;
        this.mode = mode;
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

    /**
     * Draws all items, a batch at a time; the result's tensors live until this object is closed.
     *
     * @param task for the progress display
     * @param particles states of each item
     * @param atOnce evaluations of each state at once
     * @param steps of each batch
     */
    Drawn draw(String task, int particles, int atOnce, int steps, Sampling sampling) {
        int batch = items.batch(map, Math.multiplyExact(particles, atOnce));
        int total = labels.length;
        Tensor samples = Torch.empty(DType.FLOAT32, Device.CPU, map.itemShape().prepend(total));
        double[] rewards = new double[total];
        long evaluations = 0;
        long begin = System.nanoTime();
        try (SteeringProgress progress = new SteeringProgress(task, steps, Math.ceilDiv(total, batch))) {
            for (int from = 0; from < total; from += batch) {
                try (TensorScope part = TensorScope.open()) {
                    int size = Math.min(batch, total - from);
                    KeyedNoise noise = KeyedNoise.of(items.seed(), from, size, particles, map.itemShape(), device);
                    Batch drawn = sampling.of(noise, condition(from, size), progress);
                    samples.narrow(0, from, size).copy_(drawn.samples());
                    System.arraycopy(drawn.rewards().toDoubleArray(), 0, rewards, from, size);
                    evaluations = drawn.evaluations();
                    progress.batchDone();
                }
            }
        }
        return new Drawn(samples, rewards, evaluations, (System.nanoTime() - begin) * 1e-9);
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
        ImageGrid.requireRoom(classes() * (compare ? 2L : 1L), items.count(), map.itemShape(), 2);
    }

    /** Returns a row for every class, and with base samples one of them above each. */
    ImageGrid picture(Drawn drawn, @Nullable Drawn base) {
        Shape item = map.itemShape();
        List<String> columns = new ArrayList<>();
        for (int i = 1; i <= items.count(); i++) {
            columns.add(Integer.toString(i));
        }
        ImageGrid grid = new ImageGrid(ImageGrid.shownChannels(item), (int) item.size(1), (int) item.size(2), columns);
        for (int row = 0; row < classes(); row++) {
            String name = names.of(labels[row * items.count()]);
            if (base != null) {
                grid.row(name + ", before", pixels(base, row));
            }
            grid.row(base == null ? name : name + ", after", pixels(drawn, row));
        }
        return grid;
    }

    private float[] pixels(Drawn drawn, int row) {
        try (TensorScope part = TensorScope.open()) {
            return ImageGrid.visible(drawn.samples().narrow(0, (long) row * items.count(), items.count()))
                    .toFloatArray();
        }
    }

    @Override
    public void close() {
        scope.close();
        mode.close();
        map.close();
        reward.close();
        owned.close();
    }
}
