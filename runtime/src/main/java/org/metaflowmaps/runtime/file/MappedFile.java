package org.metaflowmaps.runtime.file;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.internal.Leaks;

/**
 * The memory of an open file and a count of its users: it is unmapped when the file is closed and its last tensor is
 * freed.
 *
 * <p>Java reads it through a second arena, which closes with the file.
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
     * @param arena a shared arena that unmaps it; this object closes it
     */
    @SuppressWarnings("MustBeClosedChecker") // closed by close()
    MappedFile(String file, MemorySegment whole, Arena arena) {
        this.file = file;
        this.uses = new Uses(whole, arena);
        this.window = Arena.ofShared();
        this.bytes = whole.reinterpret(window, null);
        this.ticket = Leaks.watch(this, "the open file " + file, uses, whole.byteSize(), Leaks.place());
    }

    /** Counts the file and its tensors; a separate object, because tensors must not keep the file reachable. */
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

    /** Returns all bytes for Java; access after {@link #close} throws. */
    MemorySegment bytes() {
        return bytes;
    }

    /**
     * Returns a tensor on contiguous bytes of the file, which keeps them mapped. Copies if the range is empty, because
     * it has no address, or if its address is not a multiple of the element size.
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
     * Ends Java's access, and unmaps the file if no tensor uses it; closing twice is harmless, also from several
     * threads.
     *
     * @throws IllegalStateException if a native call still uses a segment
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
