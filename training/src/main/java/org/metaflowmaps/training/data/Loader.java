package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Makes batches of a data set's items: in a new order each epoch, read ahead on its own threads, with mirroring and
 * hold-out.
 *
 * <p>Every batch depends only on the seed and the number of items before it, not on the number of threads. Two batches
 * are read ahead. For one caller.
 */
public final class Loader implements TrainingData {
    /** A stream of seeds that no epoch's order uses. */
    private static final long NOISE = 0x6e6f697365L << 20;

    /** The same for the seeds of shards. */
    private static final long SHARDS = 0x7368617264L << 20;

    private final Items items;
    private final boolean isOwner;
    private final long seed;
    private final Reading reading;
    private final Device device;
    private final HoldOut choice;
    private final Flips flips;
    private final Rows rows;
    private final Tensor labels;
    private final @Nullable Tensor weights;

    /**
     * Makes batches of all items that are not held out.
     *
     * @param items the items; the loader closes them, also if this constructor throws
     * @param seed determines the order of every epoch and all other random numbers
     * @param reading how to read items, and how many to hold out
     * @param device the device of batches
     * @throws IOException if items that stay in memory cannot be read
     * @throws IllegalArgumentException if too many items are held out, items should be mirrored but cannot be, or a
     *     label or weight is out of range
     */
    public Loader(Items items, long seed, Reading reading, Device device) throws IOException {
        this(items, seed, reading, device, chosen(items, reading), true);
    }

    private Loader(Items items, long seed, Reading reading, Device device, HoldOut choice, boolean isOwner)
            throws IOException {
        this.items = items;
        this.seed = seed;
        this.reading = reading;
        this.device = device;
        this.choice = choice;
        this.isOwner = isOwner;
        this.flips = new Flips(reading.flip(), seed);
        int[] trained = choice.trained();
        try {
            this.rows = items.isInMemory()
                    ? new ResidentRows(items, trained, seed, device)
                    : new StreamedRows(items, trained, seed, reading, device);
        } catch (IOException | RuntimeException e) {
            closeItems();
            throw e;
        }
        try (TensorScope scope = TensorScope.open()) {
            this.labels = labels(trained).retain();
            Tensor given = weights(trained);
            this.weights = given == null ? null : given.retain();
        }
    }

    /** Chooses held-out items, and makes all checks that need no reading. */
    private static HoldOut chosen(Items items, Reading reading) {
        try {
            if (reading.flip()) {
                items.requireMirrorable();
            }
            int classes = Math.max(1, items.classes());
            for (int i = 0; i < items.count(); i++) {
                int label = items.label(i);
                Preconditions.checkArgument(
                        label < classes && (label >= 0 || !items.isInMemory()),
                        "item %s has label %s, expected 0 to %s",
                        i,
                        label,
                        classes - 1);
                float weight = items.isWeighted() ? items.weight(i) : 1;
                Preconditions.checkArgument(
                        weight >= 0 && weight < Float.POSITIVE_INFINITY,
                        "item %s has weight %s, expected 0 or more",
                        (Integer) i,
                        (Float) weight);
            }
            return HoldOut.of(items, reading.holdOut());
        } catch (RuntimeException e) {
            items.close();
            throw e;
        }
    }

    /**
     * Returns a loader of every {@code count}th training item of this loader, so that each of several processes has its
     * own items in its own order. All have the same held-out items.
     *
     * @param index the shard, from 0 to below {@code count}
     * @param count the number of shards, at most the number of items; with one shard the batches are those of this
     *     loader
     * @return owned by the caller, to be closed before this loader
     * @throws IOException if items that stay in memory cannot be read
     */
    public Loader shard(int index, int count) throws IOException {
        int trained = choice.trained().length;
        Preconditions.checkArgument(
                count >= 1 && count <= trained,
                "%s shards of %s items, expected 1 to as many as items",
                count,
                trained);
        Preconditions.checkArgument(
                index >= 0 && index < count, "shard %s of %s, expected 0 to %s", index, count, count - 1);
        long own = count == 1 ? seed : Seeds.of(Seeds.of(seed, SHARDS), index);
        return new Loader(items, own, reading, device, choice.shard(index, count), false);
    }

    @Override
    public Shape itemShape() {
        return items.itemShape();
    }

    @Override
    public int classes() {
        return items.classes();
    }

    @Override
    public List<String> classNames() {
        return items.classNames();
    }

    @Override
    public Optional<LatentScaling> latents() {
        return items.latents();
    }

    @Override
    public String summary() {
        return items.summary(heldOut());
    }

    /** Returns the number of items, including held-out ones. */
    public int count() {
        return items.count();
    }

    /**
     * {@inheritDoc}
     *
     * @throws UncheckedIOException if an item cannot be read; the message names it
     */
    @Override
    public Batch batch(long position, int count) {
        EpochOrder.require(position, count);
        try (TensorScope scope = TensorScope.open()) {
            return batch(scope, rows.read(position, count), position);
        }
    }

    @Override
    public Batch examples(int count) {
        EpochOrder.require(0, count);
        try (TensorScope scope = TensorScope.open()) {
            return batch(scope, rows.first(count), 0);
        }
    }

    private Batch batch(TensorScope scope, Rows.Found found, long position) {
        int count = (int) found.index().size(0);
        Tensor decoded = items.decode(flipped(found.stored(), position), () -> noise(position, count));
        Tensor weight = weights == null ? null : scope.keep(weights.indexSelect(0, found.index()));
        return new Batch(scope.keep(decoded), scope.keep(labels.indexSelect(0, found.index())), weight);
    }

    private Tensor flipped(Tensor stored, long position) {
        if (!flips.on()) {
            return stored;
        }
        float[] mirrored = new float[(int) stored.size(0)];
        for (int i = 0; i < mirrored.length; i++) {
            mirrored[i] = flips.at(position + i) ? 1 : 0;
        }
        long[] shape = new long[stored.dim()];
        Arrays.fill(shape, 1);
        shape[0] = mirrored.length;
        Tensor mask = Torch.of(mirrored, shape).to(device).gt(0.5);
        return Torch.where(mask, items.mirrored(stored), stored);
    }

    /** Draws the noise of a batch at once, because a source for each item would be slow. The same on every device. */
    private Tensor noise(long position, int count) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = Seeds.source(Seeds.of(seed, NOISE), position, Device.CPU)) {
            return scope.keep(random.normal(items.itemShape().prepend(count)).to(device));
        }
    }

    @Override
    public int heldOut() {
        return choice.held().length;
    }

    @Override
    public Batch heldOut(int from, int count) {
        int[] numbers = choice.held(from, count);
        try (TensorScope scope = TensorScope.open()) {
            Tensor stored = Torch.empty(items.storedType(), Device.CPU, Slot.shape(count, items));
            long size = Slot.bytes(items);
            for (int i = 0; i < count; i++) {
                items.read(numbers[i], stored.segment().asSlice(i * size, size));
            }
            Tensor decoded = items.decode(stored.to(device), () -> heldOutNoise(numbers));
            Tensor weight = weights(numbers);
            return new Batch(
                    scope.keep(decoded), scope.keep(labels(numbers)), weight == null ? null : scope.keep(weight));
        } catch (IOException e) {
            throw new UncheckedIOException(e.getMessage(), e);
        }
    }

    /** Draws noise for each held-out item separately, so that it does not depend on the number requested. */
    private Tensor heldOutNoise(int[] numbers) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor[] each = new Tensor[numbers.length];
            for (int i = 0; i < numbers.length; i++) {
                try (RandomSource random = RandomSource.seeded(Seeds.of(HoldOut.SEED, numbers[i]))) {
                    each[i] = random.normal(items.itemShape());
                }
            }
            return scope.keep(Torch.stack(0, each).to(device));
        }
    }

    private Tensor labels(int[] numbers) {
        return Torch.of(Arrays.stream(numbers).mapToLong(items::label).toArray())
                .to(device);
    }

    private @Nullable Tensor weights(int[] numbers) {
        if (!items.isWeighted()) {
            return null;
        }
        float[] values = new float[numbers.length];
        for (int i = 0; i < values.length; i++) {
            values[i] = items.weight(numbers[i]);
        }
        return Torch.of(values, values.length).to(device);
    }

    @Override
    public long replaced() {
        return rows.replaced();
    }

    /** Stops the reading threads, frees the memory and closes the items. */
    @Override
    public void close() {
        rows.close();
        labels.close();
        if (weights != null) {
            weights.close();
        }
        closeItems();
    }

    private void closeItems() {
        if (isOwner) {
            items.close();
        }
    }
}
