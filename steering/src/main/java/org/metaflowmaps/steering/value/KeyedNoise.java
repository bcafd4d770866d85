package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.metaflowmaps.runtime.CounterNoise;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Noise that depends only on (seed, use, step, item, particle, draw): an item's numbers are the same in every batch, in
 * every chunk of draws and on every device.
 *
 * <p>Thread safety: immutable.
 */
public final class KeyedNoise implements SteeringNoise {
    /** Threads share the work from this count on; one thread makes fewer numbers in about half a millisecond. */
    private static final int PARALLEL = 1 << 14;

    /** The largest size of an array. */
    private static final int MOST = Integer.MAX_VALUE - 8;

    /** The largest number of items. */
    private static final int MOST_ITEMS = 1 << 24;

    private final CounterNoise source;
    private final long[] items;
    private final int particles;
    private final Shape itemShape;
    private final DType type;
    private final Device device;

    /**
     * Makes noise for selected items.
     *
     * @param seed of the run
     * @param items index of each item of the batch in the whole run, 0 to 2⁴⁰ - 1
     * @param particles particles of each item, at least 1
     * @param itemShape of one state
     * @param type of the numbers: float32 or float64; float32 numbers are rounded float64 numbers
     * @param device the numbers' device
     * @throws IllegalArgumentException if an argument is out of range
     */
    public KeyedNoise(long seed, long[] items, int particles, Shape itemShape, DType type, Device device) {
        Preconditions.checkArgument(
                items.length > 0 && items.length <= MOST_ITEMS,
                "steering noise: %s items, expected 1 to %s",
                items.length,
                MOST_ITEMS);
        Preconditions.checkArgument(
                particles >= 1, "steering noise: %s particles per item, expected at least 1", particles);
        Preconditions.checkArgument(
                type == DType.FLOAT32 || type == DType.FLOAT64,
                "steering noise: type %s, expected float32 or float64",
                type);
        for (long item : items) {
            key(item, Use.START, 0, particles - 1, 0);
        }
        this.source = new CounterNoise(seed);
        this.items = items.clone();
        this.particles = particles;
        this.itemShape = Preconditions.checkNotNull(itemShape, "steering noise: the item shape is null");
        this.type = type;
        this.device = Preconditions.checkNotNull(device, "steering noise: the device is null");
    }

    /**
     * Makes float32 noise for the items {@code first} to {@code first + count - 1} of a run.
     *
     * @throws IllegalArgumentException if an argument is out of its range
     */
    public static KeyedNoise of(long seed, long first, int count, int particles, Shape itemShape, Device device) {
        Preconditions.checkArgument(
                count >= 1 && count <= MOST_ITEMS, "steering noise: %s items, expected 1 to %s", count, MOST_ITEMS);
        long[] items = new long[count];
        Arrays.setAll(items, i -> first + i);
        return new KeyedNoise(seed, items, particles, itemShape, DType.FLOAT32, device);
    }

    /**
     * Returns this noise for selected items.
     *
     * @throws IndexOutOfBoundsException if an index is out of range
     */
    public KeyedNoise slice(int start, int count) {
        Preconditions.checkPositionIndexes(start, start + count, items.length);
        return new KeyedNoise(
                source.seed(), Arrays.copyOfRange(items, start, start + count), particles, itemShape, type, device);
    }

    @Override
    public Tensor normal(Use use, int step, int first, int draws) {
        Preconditions.checkArgument(draws >= 1, "steering noise: %s draws, expected at least 1", draws);
        key(items[0], use, step, 0, first);
        key(items[0], use, step, 0, first + draws - 1);
        double wanted = (double) items.length * particles * draws * itemShape.numel();
        Preconditions.checkArgument(
                wanted <= MOST,
                "steering noise: %s numbers at once, expected at most %s: ask for fewer rows or draws",
                Double.valueOf(wanted),
                Integer.valueOf(MOST));
        int rows = items.length * particles;
        int size = (int) itemShape.numel();
        int count = rows * draws * size;
        boolean single = type == DType.FLOAT32;
        float[] narrow = new float[single ? count : 0];
        double[] wide = new double[single ? 0 : count];
        IntStream all = IntStream.range(0, rows * draws);
        (count < PARALLEL ? all : all.parallel()).forEach(i -> {
            int row = i / draws;
            CounterNoise.Key key = key(items[row / particles], use, step, row % particles, first + i % draws);
            if (single) {
                source.normal(key, narrow, i * size, size);
            } else {
                source.normal(key, wide, i * size, size);
            }
        });
        return moved(single, narrow, wide, itemShape.prepend(rows, draws).toArray());
    }

    @Override
    public Tensor uniform(Use use, int step) {
        double[] values = new double[items.length];
        Arrays.setAll(values, i -> source.uniform(key(items[i], use, step, 0, 0)));
        return moved(false, new float[0], values, items.length);
    }

    @Override
    public String row(long row) {
        if (row < 0 || row / particles >= items.length) {
            throw new IndexOutOfBoundsException(
                    "row " + row + " of " + items.length + " items with " + particles + " particles each");
        }
        return "item " + items[(int) (row / particles)] + ", particle " + row % particles;
    }

    private Tensor moved(boolean single, float[] narrow, double[] wide, long... shape) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor made = single ? Torch.of(narrow, shape) : Torch.of(wide, shape);
            return scope.keep(device.equals(Device.CPU) ? made : made.to(device));
        }
    }

    private static CounterNoise.Key key(long item, Use use, int step, int particle, int draw) {
        return new CounterNoise.Key(item, use.code(), step, particle, draw);
    }
}
