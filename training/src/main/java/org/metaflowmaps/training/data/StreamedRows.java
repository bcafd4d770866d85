package org.metaflowmaps.training.data;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.function.Function;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Items that are read ahead and copied to the device through a {@link Slot}. */
final class StreamedRows implements Rows {
    private final ReadAhead ahead;
    private final Slot slot;
    private final Device device;

    /**
     * Makes rows of some items.
     *
     * @param trained their numbers
     */
    StreamedRows(Items items, int[] trained, long seed, Reading reading, Device device) {
        this.device = device;
        this.slot = new Slot(items, device);
        this.ahead = new ReadAhead(trained.length, seed, reading, number -> {
            MemorySegment row = Slot.row(items);
            int index = trained[number];
            items.read(index, row);
            if (items.label(index) < 0) {
                throw new DamagedItemException("item " + index + " has no label: give it one, or remove it");
            }
            return row;
        });
    }

    @Override
    public Found read(long position, int count) {
        return through(count, target -> ahead.read(position, count, target));
    }

    @Override
    public Found first(int count) {
        return through(count, target -> ahead.first(count, target));
    }

    private Found through(int count, Function<MemorySegment, int[]> read) {
        try (TensorScope scope = TensorScope.open()) {
            Slot.Room room = slot.rows(count);
            int[] numbers = read.apply(room.memory());
            Tensor index = Torch.of(Arrays.stream(numbers).asLongStream().toArray());
            return new Found(scope.keep(room.rows().to(device)), scope.keep(index.to(device)));
        }
    }

    @Override
    public long replaced() {
        return ahead.replaced();
    }

    /** Stops the reading threads. */
    @Override
    public void close() {
        ahead.close();
        slot.close();
    }
}
