package org.metaflowmaps.training.data;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * A buffer in CPU memory for one batch at a time; each batch is copied out before the next is written.
 *
 * <p>Moving to another device or converting to float32 makes that copy. Rows that need neither get new memory each
 * time, because the returned batch is a view of it.
 */
final class Slot implements AutoCloseable {
    private final Items items;
    private final boolean isReused;
    private @Nullable Tensor buffer;
    private MemorySegment memory = MemorySegment.NULL;
    private boolean closed;

    Slot(Items items, Device device) {
        this.items = items;
        this.isReused = items.storedType() != DType.FLOAT32 || device.type() != Device.Type.CPU;
    }

    /**
     * Memory for some items.
     *
     * @param rows (B, stored shape) on the CPU
     * @param memory of {@code rows}
     */
    record Room(Tensor rows, MemorySegment memory) {}

    /** Returns the shape of some stored items. */
    static Shape shape(long count, Items items) {
        return items.storedShape().prepend(count);
    }

    /** Returns the bytes of one stored item. */
    static long bytes(Items items) {
        return Math.multiplyExact(
                items.storedShape().numel(), items.storedType().bytes());
    }

    /** Allocates memory for one stored item, aligned for every type. */
    static MemorySegment row(Items items) {
        long bytes = bytes(items);
        return MemorySegment.ofArray(new long[Math.toIntExact(Math.ceilDiv(bytes, Long.BYTES))])
                .asSlice(0, bytes);
    }

    /** Returns memory for some items, in the innermost open scope. */
    synchronized Room rows(int count) {
        if (closed) {
            throw new IllegalStateException("this loader was closed: read items before closing it");
        }
        if (!isReused) {
            Tensor rows = Torch.empty(items.storedType(), Device.CPU, shape(count, items));
            return new Room(rows, rows.segment());
        }
        Tensor kept = buffer;
        if (kept == null || kept.size(0) < count) {
            if (kept != null) {
                kept.close();
            }
            kept = Torch.empty(items.storedType(), Device.CPU, shape(count, items))
                    .retain();
            memory = kept.segment();
            buffer = kept;
        }
        return new Room(kept.narrow(0, 0, count), memory.asSlice(0, count * bytes(items)));
    }

    @Override
    public synchronized void close() {
        closed = true;
        if (buffer != null) {
            buffer.close();
        }
    }
}
