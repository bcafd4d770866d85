package org.metaflowmaps.runtime.cuda;

import com.google.common.base.Preconditions;
import org.metaflowmaps.bindings.CudaEvents;

/**
 * A point in a stream's work, to wait for or to measure time.
 *
 * <p>Thread safety: one thread at a time. The caller closes it.
 */
public final class CudaEvent implements AutoCloseable {
    private final long address;
    private final boolean timed;
    private boolean closed;

    private CudaEvent(boolean timed) {
        this.timed = timed;
        this.address = CudaEvents.create(timed);
    }

    /** Makes an event to wait for. */
    public static CudaEvent create() {
        return new CudaEvent(false);
    }

    /** Makes an event that also measures time. */
    public static CudaEvent timed() {
        return new CudaEvent(true);
    }

    long address() {
        Preconditions.checkState(!closed, "cuda: this event was closed: record and wait before closing it");
        return address;
    }

    /** Sets the event after the work that a stream has now; returns this. */
    public CudaEvent record(CudaStream stream) {
        CudaEvents.record(address(), stream.address());
        return this;
    }

    /** Returns true if the work before the event is done. */
    public boolean isDone() {
        return CudaEvents.isDone(address());
    }

    /** Waits on the host until the work before the event is done. */
    public void synchronize() {
        CudaEvents.synchronize(address());
    }

    /**
     * Returns the milliseconds between an earlier event and this one; waits for this one first.
     *
     * @throws IllegalStateException unless both events are {@link #timed}
     */
    public double millisecondsSince(CudaEvent earlier) {
        Preconditions.checkState(
                timed && earlier.timed, "cuda: these events measure no time: make them with CudaEvent.timed()");
        synchronize();
        return CudaEvents.milliseconds(earlier.address(), address());
    }

    /** Destroys the event; work that waits for it is not disturbed. Closing twice does nothing. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            CudaEvents.destroy(address);
        }
    }
}
