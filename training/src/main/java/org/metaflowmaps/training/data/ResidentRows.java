package org.metaflowmaps.training.data;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Items kept on the device: batches are gathered there, without copies to the device and without waiting. */
final class ResidentRows implements Rows {
    private final Tensor rows;
    private final EpochOrder order;

    /**
     * Reads all items.
     *
     * @param trained their numbers
     * @throws IOException if one cannot be read
     */
    ResidentRows(Items items, int[] trained, long seed, Device device) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Tensor all = Torch.empty(items.storedType(), Device.CPU, Slot.shape(trained.length, items));
            MemorySegment memory = all.segment();
            long size = Slot.bytes(items);
            for (int i = 0; i < trained.length; i++) {
                items.read(trained[i], memory.asSlice(i * size, size));
            }
            this.rows = all.to(device).retain();
        }
        this.order = new EpochOrder(trained.length, seed, device);
    }

    @Override
    public Found read(long position, int count) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor index = order.indices(position, count);
            return new Found(scope.keep(rows.indexSelect(0, index)), scope.keep(index));
        }
    }

    @Override
    public Found first(int count) {
        return read(0, count);
    }

    @Override
    public void close() {
        order.close();
        rows.close();
    }
}
