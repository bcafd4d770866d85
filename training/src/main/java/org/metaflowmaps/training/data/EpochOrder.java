package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The order of items: a new permutation each epoch. For one thread. */
final class EpochOrder implements AutoCloseable {
    private static final int MOST_ITEMS = 1 << 24;

    private final int count;
    private final long seed;
    private final Device device;
    private Tensor order;
    private long orderOf;
    private int[] numbers = new int[0];
    private long numbersOf = -1;

    /**
     * Makes the order of a stream.
     *
     * @param count items of the set, at least 1
     * @param seed determines the order of every epoch
     * @param device the device of indices
     */
    EpochOrder(int count, long seed, Device device) {
        this.count = count;
        this.seed = seed;
        this.device = device;
        this.order = drawn(0);
    }

    /**
     * Returns the items after the first {@code position} ones; they may span several epochs.
     *
     * @return (size) int64, from 0 to count - 1, in the innermost open scope
     */
    Tensor indices(long position, int size) {
        require(position, size);
        try (TensorScope scope = TensorScope.open()) {
            Tensor index = null;
            long missing = size;
            for (long at = position; missing > 0; ) {
                long first = at % count;
                long length = Math.min(missing, count - first);
                Tensor part = order(at / count).narrow(0, first, length);
                index = index == null ? part : Torch.cat(0, index, part);
                at += length;
                missing -= length;
            }
            return scope.keep(Preconditions.checkNotNull(index));
        }
    }

    /** Returns the same as a Java array, copied from the tensor once per epoch. */
    int[] numbers(long position, int size) {
        require(position, size);
        int[] found = new int[size];
        for (int i = 0; i < size; i++) {
            long epoch = (position + i) / count;
            if (epoch != numbersOf) {
                numbers = Arrays.stream(order(epoch).toLongArray())
                        .mapToInt(Math::toIntExact)
                        .toArray();
                numbersOf = epoch;
            }
            found[i] = numbers[(int) ((position + i) % count)];
        }
        return found;
    }

    /** Throws for an empty range or one that is too long. */
    static void require(long position, int size) {
        Preconditions.checkArgument(
                position >= 0 && size > 0 && size <= MOST_ITEMS,
                "%s items from position %s, expected 1 to %s from 0 or more",
                size,
                position,
                MOST_ITEMS);
    }

    /** An epoch's order, drawn once and kept on the device, so that batches copy nothing and do not wait. */
    private Tensor order(long epoch) {
        if (epoch != orderOf) {
            Tensor next = drawn(epoch);
            order.close();
            order = next;
            orderOf = epoch;
        }
        return order;
    }

    private Tensor drawn(long epoch) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = Seeds.source(seed, epoch, Device.CPU)) {
            return random.permutation(count).to(device).retain();
        }
    }

    @Override
    public void close() {
        order.close();
    }
}
