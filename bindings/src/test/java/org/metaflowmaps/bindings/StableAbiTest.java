package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.util.concurrent.atomic.AtomicInteger;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class StableAbiTest {
    /** A JavaCPP tensor for one of our handles; it does not own the handle. */
    private static final class Borrowed extends Pointer {
        Borrowed(long handle) {
            address = handle;
        }
    }

    @BeforeAll
    static void load() {
        Libtorch.load();
    }

    @Test
    void readsATensorOfJavacpp() {
        Tensor base = torch.arange(new Scalar(24)).to(torch.ScalarType.Float).view(2, 3, 4);
        Tensor view = base.transpose(0, 2).narrow(1, 1, 2);
        try {
            expectView(view.address());
            assertEquals(view.data_ptr().address(), StableAbi.dataPointer(view.address()));
            assertTrue(StableAbi.isContiguous(base.address()));
        } finally {
            Reference.reachabilityFence(view);
            Reference.reachabilityFence(base);
        }
    }

    private static void expectView(long handle) {
        assertEquals(16, StableAbi.numel(handle));
        assertEquals(3, StableAbi.dim(handle));
        assertArrayEquals(new long[] {4, 2, 2}, StableAbi.sizes(handle));
        assertArrayEquals(new long[] {1, 4, 12}, StableAbi.strides(handle));
        assertEquals(Tensors.FLOAT, StableAbi.dtype(handle));
        assertEquals(Tensors.CPU, StableAbi.deviceType(handle));
        assertEquals(-1, StableAbi.deviceIndex(handle));
        assertEquals(4, StableAbi.storageOffset(handle));
        assertEquals(96, StableAbi.storageBytes(handle));
        assertFalse(StableAbi.isContiguous(handle));
    }

    @Test
    void readsATensorWithoutDimensions() {
        long handle = Tensors.of();
        assertEquals(1, StableAbi.numel(handle));
        assertEquals(0, StableAbi.dim(handle));
        assertEquals(0, StableAbi.sizes(handle).length);
        assertArrayEquals(new float[] {0}, Tensors.take(handle));
    }

    @Test
    void javacppSeesOurHandleAsItsTensor() {
        long handle = Tensors.of(2, 3);
        Tensor same = new Tensor(new Borrowed(handle));
        same.add_(new Scalar(1));
        assertEquals(StableAbi.dataPointer(handle), same.data_ptr().address());
        assertEquals(1, same.use_count());
        long second = StableAbi.newHandle(handle);
        assertEquals(2, same.use_count());
        StableAbi.delete(second);
        assertEquals(1, same.use_count());
        assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6}, Tensors.take(handle));
    }

    @Test
    void elementSizesAreLibtorchs() {
        int known = 0;
        for (torch.ScalarType type : torch.ScalarType.values()) {
            int bytes;
            try {
                bytes = ScalarTypes.bytes(type.value & 0xff);
            } catch (IllegalArgumentException quantisedOrInternal) {
                continue;
            }
            assertEquals(torch.elementSize(type), bytes, type.toString());
            known++;
        }
        assertEquals(22, known);
    }

    @Test
    void lendsMemoryBothWays() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment data = arena.allocateFrom(JAVA_FLOAT, 1, 2, 3, 4, 5, 6);
            long columns =
                    StableAbi.fromBlob(data, new long[] {3, 2}, new long[] {1, 3}, Tensors.FLOAT, Tensors.CPU, -1);
            assertEquals(data.address(), StableAbi.dataPointer(columns));
            data.setAtIndex(JAVA_FLOAT, 3, 40);
            Operator.of("aten::neg_", "", 1, 1).call().tensor(columns).invokeVoid();
            assertArrayEquals(new float[] {-1, -2, -3, -40, -5, -6}, data.toArray(JAVA_FLOAT));
            StableAbi.delete(columns);
        }
    }

    @Test
    void deleterRunsOnceWithTheLastUser() {
        AtomicInteger runs = new AtomicInteger();
        int waiting = Blobs.waiting();
        try (Arena arena = Arena.ofShared()) {
            long tensor = lend(arena.allocate(16), 4, runs::incrementAndGet);
            long second = StableAbi.newHandle(tensor);
            long view = Operator.of("aten::slice", "Tensor", 5, 1)
                    .call()
                    .tensor(tensor)
                    .int64(0)
                    .int64(1)
                    .none()
                    .int64(1)
                    .invoke();
            assertEquals(waiting + 1, Blobs.waiting());
            StableAbi.delete(tensor);
            StableAbi.delete(second);
            assertEquals(0, runs.get());
            StableAbi.delete(view);
            assertEquals(1, runs.get());
            assertEquals(waiting, Blobs.waiting());
        }
    }

    @Test
    void deleterRunsOnAnotherThreadAndMayFail() throws InterruptedException {
        AtomicInteger runs = new AtomicInteger();
        try (Arena arena = Arena.ofShared()) {
            long tensor = lend(arena.allocate(16), 4, () -> {
                runs.incrementAndGet();
                throw new IllegalStateException("this deleter fails on purpose");
            });
            Thread thread = Thread.ofPlatform().start(() -> StableAbi.delete(tensor));
            thread.join();
            assertEquals(1, runs.get());
        }
    }

    @Test
    void deleterNeverRunsWhereNoTensorWasMade() {
        AtomicInteger runs = new AtomicInteger();
        int waiting = Blobs.waiting();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment data = arena.allocate(16);
            int cuda = 1;
            assertThrows(
                    LibtorchException.class,
                    () -> StableAbi.fromBlob(
                            data, new long[] {4}, new long[] {1}, Tensors.FLOAT, cuda, 63, runs::incrementAndGet));
        }
        assertEquals(0, runs.get());
        assertEquals(waiting, Blobs.waiting());
    }

    @Test
    void refusesMemoryThatDoesNotFit() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment data = arena.allocate(24);
            refused(data, new long[] {7}, new long[] {1}, Tensors.FLOAT, "need 28");
            refused(data, new long[] {2, 3}, new long[] {4, 1}, Tensors.FLOAT, "need 28");
            refused(data, new long[] {4}, new long[] {1}, 7, "need 32");
            refused(data, new long[] {-1}, new long[] {1}, Tensors.FLOAT, "negative");
            refused(data, new long[] {2}, new long[] {-1}, Tensors.FLOAT, "negative");
            refused(data, new long[] {2}, new long[] {1, 1}, Tensors.FLOAT, "as many strides");
            refused(data, new long[] {2}, new long[] {1}, 99, "Element type 99");
            refused(MemorySegment.ofArray(new float[6]), new long[] {6}, new long[] {1}, Tensors.FLOAT, "heap");
            refused(MemorySegment.NULL, new long[] {1}, new long[] {1}, Tensors.FLOAT, "address 0");
            long empty = StableAbi.fromBlob(data, new long[] {0, 9}, new long[] {9, 1}, Tensors.FLOAT, Tensors.CPU, -1);
            assertEquals(0, StableAbi.numel(empty));
            StableAbi.delete(empty);
        }
    }

    @Test
    void aNullHandleIsAJavaException() {
        assertThrows(IllegalArgumentException.class, () -> StableAbi.numel(0));
        assertThrows(IllegalArgumentException.class, () -> StableAbi.delete(0));
        assertThrows(IllegalArgumentException.class, () -> StableAbi.newHandle(0));
    }

    @Test
    void anErrorCarriesLibtorchsText() {
        Tensor sparse = torch.eye(2).to_sparse();
        try {
            Refusal.expect(
                    LibtorchException.class,
                    "aoti_torch_get_storage_size: ",
                    () -> StableAbi.storageBytes(sparse.address()));
        } finally {
            Reference.reachabilityFence(sparse);
        }
    }

    @Test
    void gradModeIsSwitchedForThisThread() throws InterruptedException {
        boolean before = StableAbi.gradEnabled();
        try {
            StableAbi.setGradEnabled(false);
            assertFalse(StableAbi.gradEnabled());
            AtomicInteger elsewhere = new AtomicInteger();
            Thread thread = Thread.ofPlatform().start(() -> elsewhere.set(StableAbi.gradEnabled() ? 1 : 2));
            thread.join();
            assertEquals(1, elsewhere.get());
            StableAbi.setGradEnabled(true);
            assertTrue(StableAbi.gradEnabled());
        } finally {
            StableAbi.setGradEnabled(before);
        }
    }

    private static long lend(MemorySegment data, long elements, Runnable deleter) {
        return StableAbi.fromBlob(data, new long[] {elements}, new long[] {1}, Tensors.FLOAT, Tensors.CPU, -1, deleter);
    }

    private static void refused(MemorySegment data, long[] sizes, long[] strides, int dtype, String words) {
        Refusal.expect(
                IllegalArgumentException.class,
                words,
                () -> StableAbi.fromBlob(data, sizes, strides, dtype, Tensors.CPU, -1));
    }
}
