package org.metaflowmaps.runtime.file;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.internal.Leaks;

/**
 * The memory of an open file, and who still uses it: it is unmapped once the file is closed and the last tensor on it is freed.
 *
 * <p>Java reads it through a second arena, which ends with the file at once.
 */
final class MappedFile implements AutoCloseable {
    private final String file;
    private final Uses uses;
    private final Arena window;
    private final MemorySegment bytes;
    private final Leaks.Ticket ticket;

    /**
     * Takes over an open file's memory.
     *
     * @param arena a shared arena that unmaps it; this object's to close from now on
     */
    @SuppressWarnings("MustBeClosedChecker") // closed by close()
    MappedFile(String file, MemorySegment whole, Arena arena) {
        this.file = file;
        this.uses = new Uses(whole, arena);
        this.window = Arena.ofShared();
        this.bytes = whole.reinterpret(window, null);
        this.ticket = Leaks.watch(this, "the open file " + file, uses, whole.byteSize(), Leaks.place());
    }

    /** Counts the file itself and the tensors on it; apart from the file, because tensors must not keep that reachable. */
    private static final class Uses {
        private final MemorySegment whole;
        private final Arena arena;
        private long count = 1;

        Uses(MemorySegment whole, Arena arena) {
            this.whole = whole;
            this.arena = arena;
        }

        synchronized boolean begin() {
            if (count == 0) {
                return false;
            }
            count++;
            return true;
        }

        synchronized void end() {
            if (--count == 0) {
                arena.close();
            }
        }
    }

    boolean isOpen() {
        return window.scope().isAlive();
    }

    void requireOpen() {
        if (!isOpen()) {
            throw new IllegalStateException(file + " is closed: read its tensors before closing it");
        }
    }

    /** All bytes, for Java: any access after the close throws. */
    MemorySegment bytes() {
        return bytes;
    }

    /**
     * Returns a tensor on dense bytes of the file, which keeps them mapped. Copies instead if the range is empty, because it has no
     * address, or if its address is not a multiple of the element size.
     *
     * @throws IllegalStateException if the file is closed
     */
    Tensor view(long begin, long size, DType type, long... shape) {
        requireOpen();
        MemorySegment slice = bytes.asSlice(begin, size);
        if (size == 0 || slice.address() % type.bytes() != 0) {
            return Torch.copyOf(slice, type, shape);
        }
        if (!uses.begin()) {
            requireOpen();
        }
        return Torch.of(uses.whole.asSlice(begin, size), uses::end, type, shape);
    }

    /**
     * Ends Java's access, and the mapping when no tensor lies on it; closing twice is harmless, from several threads too.
     *
     * @throws IllegalStateException if a native call that was handed a segment is still running
     */
    @Override
    public void close() {
        synchronized (window) {
            if (!isOpen()) {
                return;
            }
            window.close();
        }
        try {
            ticket.settle();
            uses.end();
        } finally {
            Reference.reachabilityFence(this);
        }
    }
}
