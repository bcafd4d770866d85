package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.invoke.MethodHandle;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class LeakTest {
    private static final int ROUNDS = 25_000;
    // struct mallinfo2: ten size_t, among them the bytes in use in arenas and in mapped blocks.
    private static final MemoryLayout MALLINFO = MemoryLayout.structLayout(
            JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
            JAVA_LONG);
    private static final int HBLKHD = 4;
    private static final int UORDBLKS = 7;

    private static final Operator UNBIND = Operator.of("aten::unbind", "int", 2, 1);
    private static final Operator VIEW = Operator.of("aten::view", "", 2, 1);
    private static final Operator SUM = Operator.of("aten::sum", "dim_IntList", 4, 1);
    private static final Operator CAT = Operator.of("aten::cat", "", 2, 1);
    private static final Operator GELU = Operator.of("aten::gelu", "", 2, 1);
    private static final Operator LAYER_NORM = Operator.of("aten::layer_norm", "", 6, 1);
    private static final Operator RELU_IN_PLACE = Operator.of("aten::relu_", "", 1, 1);

    /** A tensor's memory is freed only after the last handle, so this finds a forgotten handle anywhere. */
    @Test
    void noHandleIsLeftBySuccessOrFailure() {
        AtomicInteger freed = new AtomicInteger();
        try (Arena arena = Arena.ofShared()) {
            long tensor = StableAbi.fromBlob(
                    arena.allocate(24), new long[] {2, 3}, new long[] {3, 1}, 6, 0, -1, freed::incrementAndGet);
            StableAbi.delete(VIEW.call().tensor(tensor).int64List(6).invoke());
            StableAbi.delete(CAT.call().tensorList(tensor, tensor).int64(0).invoke());
            StableAbi.delete(LAYER_NORM
                    .call()
                    .tensor(tensor)
                    .int64List(2, 3)
                    .tensor(tensor)
                    .tensor(tensor)
                    .float64(1)
                    .bool(false)
                    .invoke());
            RELU_IN_PLACE.call().tensor(tensor).invokeVoid();
            assertThrows(
                    LibtorchException.class,
                    () -> VIEW.call().tensor(tensor).int64List(7).invoke());
            assertThrows(
                    LibtorchException.class,
                    () -> CAT.call().tensorList(tensor, tensor).int64(9).invoke());
            assertThrows(
                    LibtorchException.class,
                    () -> GELU.call().tensor(tensor).string("neither").invoke());
            assertThrows(
                    LibtorchException.class,
                    () -> LAYER_NORM
                            .call()
                            .tensor(tensor)
                            .int64List(5)
                            .tensor(tensor)
                            .tensor(tensor)
                            .float64(1)
                            .bool(false)
                            .invoke());
            assertThrows(
                    IllegalArgumentException.class,
                    () -> CAT.call().tensorList(tensor).invoke());
            assertEquals(0, freed.get());
            StableAbi.delete(tensor);
            assertEquals(1, freed.get());
        }
    }

    /** Lists and boxed optionals have no counter, so the bytes allocated by the C library are compared. */
    @Test
    void manyCallsLoseNoNativeMemory() throws Throwable {
        Linker linker = Linker.nativeLinker();
        Optional<MemorySegment> function = linker.defaultLookup().find("mallinfo2");
        assumeTrue(function.isPresent(), "only glibc reports how much memory it has allocated");
        MethodHandle mallinfo = linker.downcallHandle(function.get(), FunctionDescriptor.of(MALLINFO));
        long tensor = Tensors.of(2, 3);
        rounds(tensor, 20_000);
        // The JVM's compiler threads sometimes allocate too, but only a leak grows every time.
        long grown = Long.MAX_VALUE;
        for (int repeat = 0; repeat < 4; repeat++) {
            long before = bytesInUse(mallinfo);
            rounds(tensor, ROUNDS);
            grown = Math.min(grown, bytesInUse(mallinfo) - before);
        }
        StableAbi.delete(tensor);
        // The smallest block is 32 bytes, so one leaked block per round exceeds this limit twice.
        assertTrue(grown < 16L * ROUNDS, "grew by " + grown + " bytes");
    }

    // No string arguments: libtorch leaks a copy of each, see Call.string.
    private static void rounds(long tensor, int count) {
        for (int i = 0; i < count; i++) {
            StableAbi.delete(SUM.call()
                    .tensor(tensor)
                    .int64List(0, 1)
                    .bool(false)
                    .scalarType(7)
                    .invoke());
            StableAbi.delete(CAT.call().tensorList(tensor, tensor).int64(0).invoke());
            for (long part : Operator.takeTensorList(
                    UNBIND.call().tensor(tensor).int64(0).invokeAll()[0])) {
                StableAbi.delete(part);
            }
            UNBIND.call().tensor(tensor).int64(0).invokeVoid();
        }
    }

    private static long bytesInUse(MethodHandle mallinfo) throws Throwable {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment info = (MemorySegment) mallinfo.invokeExact((SegmentAllocator) arena);
            return info.getAtIndex(JAVA_LONG, UORDBLKS) + info.getAtIndex(JAVA_LONG, HBLKHD);
        }
    }
}
