package org.metaflowmaps.bindings;

import java.util.Optional;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.LongPair;
import org.bytedeco.pytorch.cuda.CUDAAllocator;
import org.bytedeco.pytorch.cuda.MemPool;
import org.bytedeco.pytorch.cuda.StreamFilter;
import org.bytedeco.pytorch.global.torch_cuda;
import org.jspecify.annotations.Nullable;

/**
 * Device memory of captured graphs, a private pool of libtorch's allocator: what a capture allocates stays at its
 * addresses until the pool is closed, and eager work does not use it.
 */
public final class GraphPool implements AutoCloseable {
    private final byte device;
    private final LongPair id;
    private final Filter filter;
    private boolean allocating;
    private boolean capturing;

    private GraphPool(int device, long stream, LongPair id) {
        this.device = (byte) device;
        this.id = id;
        this.filter = new Filter(stream);
    }

    /** Selects allocations for the captured stream; libtorch calls it on the caller's and on autograd's threads. */
    private static final class Filter extends StreamFilter {
        private final long stream;

        Filter(long stream) {
            this.stream = stream;
        }

        @Override
        public boolean call(Pointer of) {
            return of != null && of.address() == stream;
        }
    }

    /** Returns why pools are not available; empty if they are. Call it only where CUDA is available. */
    public static Optional<String> missing() {
        try {
            Class.forName("org.bytedeco.pytorch.global.torch_cuda");
            return Optional.empty();
        } catch (ClassNotFoundException | LinkageError e) {
            return Optional.of("the jars org.bytedeco:cuda are missing or do not load: " + e);
        }
    }

    /**
     * Throws if pools and the allocator's statistics are not available.
     *
     * @throws NativeLibraryException with the reason of {@link #missing}
     */
    public static void require() {
        missing().ifPresent(reason -> {
            throw new NativeLibraryException("CUDA's memory cannot be managed: " + reason);
        });
    }

    /**
     * Makes a pool and lets a stream's allocations go to it until {@link #end}. Begin before the capture.
     *
     * @param other a pool of the same device whose memory is used too, not closed yet: the graphs' own memory is then the
     *     same, so run them one after the other and copy the results of one before the next; null for none
     * @return owned by the caller, and closed in any order
     */
    public static GraphPool begin(int device, long stream, @Nullable GraphPool other) {
        require();
        GraphPool pool = new GraphPool(
                device,
                stream,
                other == null ? MemPool.graph_pool_handle(false) : new LongPair(other.id.first(), other.id.second()));
        torch_cuda.beginAllocateToPool(pool.device, pool.id, pool.filter);
        pool.allocating = true;
        return pool;
    }

    /** Tells the allocator that the capture has begun. */
    public void captureBegun() {
        torch_cuda.markCaptureBegin(device);
        capturing = true;
    }

    /** Tells the allocator that the capture has ended, and lets allocations go to the common memory again. */
    public void end() {
        if (allocating) {
            allocating = false;
            // The capture itself may have been refused.
            if (capturing) {
                capturing = false;
                torch_cuda.markCaptureEnd(device);
            }
            torch_cuda.endAllocateToPool(device, id);
        }
    }

    /** Frees the memory unless others use it. All tensors of the capture must be closed, and the graph destroyed. */
    @Override
    public void close() {
        end();
        CUDAAllocator allocator = torch_cuda.getAllocator();
        allocator.releasePool(device, id);
        // The segments of a released pool return to the device only here.
        allocator.emptyCache();
        filter.close();
        id.close();
    }
}
