package org.metaflowmaps.runtime.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.bindings.ComputeStream;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.Workers;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.runtime.pretend.PretendCuda;

@Pretend
final class CudaStreamPretendTest {
    private static final Device GPU = Device.cuda(0);

    /** No thread's work is on the legacy stream. */
    @Test
    void everyThreadUsesTheComputeStream() throws InterruptedException {
        CudaStream compute = CudaStream.compute(GPU);
        assertNotEquals(0, compute.address());
        long[] seen = new long[2];
        Runnable work = () -> {
            try (TensorScope scope = TensorScope.open()) {
                Tensor leaf = Torch.zeros(DType.FLOAT32, GPU, 3).requiresGrad_(true);
                Autograd.gradients(leaf.square().sum(), List.of(leaf));
                seen[0] = ComputeStream.current(0);
            }
        };
        PretendCuda.Counters before = PretendCuda.read();
        Thread thread = new Thread(work);
        thread.start();
        thread.join();
        assertEquals(compute.address(), seen[0]);
        work.run();
        Set<Long> streams = ConcurrentHashMap.newKeySet();
        Supplier<List<Tensor>> task = () -> {
            work.run();
            streams.add(ComputeStream.current(0));
            return List.of();
        };
        try (TensorScope scope = TensorScope.open()) {
            Workers.map(List.of(task, task));
        }
        assertEquals(Set.of(compute.address()), streams);
        assertEquals(0, PretendCuda.read().since(before).legacyWork());
    }

    @Test
    void aChoiceOfStreamEndsWithItsBlock() {
        CudaStream compute = CudaStream.compute(GPU);
        CudaStream copies = CudaStream.copies(GPU);
        assertNotEquals(compute.address(), copies.address());
        assertEquals(copies, CudaStream.copies(GPU));
        try (TensorScope scope = TensorScope.open()) {
            try (CudaStream.Current on = copies.use()) {
                assertEquals(copies.address(), ComputeStream.current(0));
                Torch.zeros(DType.FLOAT32, GPU.available(), 3);
                assertEquals(copies.address(), ComputeStream.current(0));
            }
            assertEquals(compute.address(), ComputeStream.current(0));
        }
        assertThrows(IllegalArgumentException.class, () -> CudaStream.copies(Device.CPU));
    }

    /** A tensor that another stream still reads keeps its memory: the allocator does not give it to the next tensor. */
    @Test
    void recordedTensorsKeepTheirMemory() {
        CudaStream copies = CudaStream.copies(GPU);
        try (TensorScope scope = TensorScope.open();
                CudaEvent made = CudaEvent.create()) {
            Tensor tensor = Torch.zeros(DType.FLOAT32, GPU, 1000);
            made.record(CudaStream.compute(GPU));
            copies.await(made);
            long events = PretendCuda.read().liveEvents();
            copies.record(tensor);
            tensor.close();
            // The allocator records an event on the other stream when the tensor is freed.
            assertTrue(PretendCuda.read().liveEvents() > events);
        }
    }

    @Test
    void eventsMeasureTime() {
        try (CudaEvent from = CudaEvent.timed();
                CudaEvent to = CudaEvent.timed();
                CudaEvent plain = CudaEvent.create()) {
            CudaStream compute = CudaStream.compute(GPU);
            from.record(compute);
            to.record(compute);
            assertTrue(to.isDone());
            assertTrue(to.millisecondsSince(from) >= 0);
            plain.record(compute).synchronize();
            assertThrows(IllegalStateException.class, () -> plain.millisecondsSince(from));
            to.close();
            assertThrows(IllegalStateException.class, to::isDone);
        }
    }
}
