package org.metaflowmaps.runtime.cuda;

import com.google.common.base.Preconditions;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.pytorch.Stream;
import org.bytedeco.pytorch.global.torch;
import org.metaflowmaps.bindings.ComputeStream;
import org.metaflowmaps.bindings.CudaEvents;
import org.metaflowmaps.bindings.CudaRuntime;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.JavaCpp;
import org.metaflowmaps.runtime.Tensor;

/**
 * A queue of a GPU's work; work of one stream runs in order. libtorch owns the streams.
 *
 * <p>All tensor operations of all threads run on the {@linkplain #compute compute stream}, so that they need no
 * synchronisation. Copies that should overlap with computation run on the {@linkplain #copies copy stream}; a
 * {@link CudaEvent} orders the two, and {@link #record} keeps a tensor's memory until the other stream has read it.
 *
 * <p>Thread safety: immutable; any thread may use a stream.
 *
 * @param device the GPU
 * @param address the {@code cudaStream_t}
 */
public record CudaStream(Device device, long address) {
    private static final Map<Device, CudaStream> COPIES = new ConcurrentHashMap<>();

    /** Checks the device. */
    public CudaStream {
        requireGpu(device);
    }

    static Device requireGpu(Device device) {
        Preconditions.checkArgument(
                device.type() == Device.Type.CUDA, "cuda: the device is %s, expected a GPU, such as cuda:0", device);
        return device;
    }

    /**
     * Returns the stream of all tensor operations on a device.
     *
     * @throws IllegalArgumentException if the device is no GPU or cannot be used
     */
    public static CudaStream compute(Device device) {
        return new CudaStream(
                device, ComputeStream.of(requireGpu(device).available().index()));
    }

    /**
     * Returns the stream for copies between host and device that overlap with computation; always the same for a device.
     *
     * @throws IllegalArgumentException if the device is no GPU or cannot be used
     */
    public static CudaStream copies(Device device) {
        requireGpu(device).available();
        return COPIES.computeIfAbsent(device, gpu -> new CudaStream(gpu, ComputeStream.fromPool(false, gpu.index())));
    }

    /** A choice of stream for this thread's operations; close it on the same thread. */
    public static final class Current implements AutoCloseable {
        private final int device;
        private final long before;
        private final Thread thread = Thread.currentThread();

        private Current(CudaStream stream) {
            device = stream.device.index();
            before = ComputeStream.current(device);
            ComputeStream.setCurrent(stream.address, device);
        }

        /** Returns to the stream before. */
        @Override
        public void close() {
            Preconditions.checkState(
                    Thread.currentThread().equals(thread),
                    "cuda: a choice of stream of thread '%s' is closed on another thread: close it there",
                    thread.getName());
            ComputeStream.setCurrent(before, device);
        }
    }

    /** Runs this thread's operations on this stream until the result is closed. */
    public Current use() {
        ComputeStream.use(device.index());
        return new Current(this);
    }

    /** Makes later work of this stream wait for an event, without waiting on the host. */
    public void await(CudaEvent event) {
        CudaEvents.await(address, event.address());
    }

    /** Waits on the host until all work of this stream is done. */
    public void synchronize() {
        CudaRuntime.synchronize(address);
    }

    /**
     * Keeps a tensor's memory, after the tensor is freed, until the work that this stream has then is done
     * ({@code record_stream} in PyTorch). Needed for a tensor that was made on one stream and is read on another.
     *
     * @throws IllegalArgumentException if the tensor is on another device
     */
    public void record(Tensor tensor) {
        Preconditions.checkArgument(
                tensor.device().equals(device), "cuda: the tensor is %s, expected one on %s", tensor, device);
        try (Current on = use();
                Stream current = torch.getCurrentStream((byte) device.index())) {
            JavaCpp.unwrap(tensor).record_stream(current);
        }
    }
}
