package org.metaflowmaps.runtime;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.WeakReference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/** Which objects the garbage collector may free; in separate JVMs, because the counts are per process. */
class LeaksTest {
    @TempDir
    Path folder;

    @Test
    void lostObjectsAreReportedAndNotFreed() throws Exception {
        assertTrue(
                ClosingRacesTest.child(folder, LeaksTest.class, List.of(), "").contains("all as it should be"));
    }

    /** JavaCPP's collection is on if an application initialised JavaCPP first. */
    @Test
    void theSameWhereJavacppCollects() throws Exception {
        assertTrue(
                ClosingRacesTest.child(folder, LeaksTest.class, List.of("-Dorg.bytedeco.javacpp.nopointergc=false"), "")
                        .contains("all as it should be"));
    }

    /** The cases, in a separate JVM. */
    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(System.getProperty("java.io.tmpdir"));
        closedIsNotLost();
        aSegmentKeepsItsTensor();
        memoryOfAnAutomaticArenaStaysWhileAViewLives();
        lost(1, 40, () -> zeros(10));
        lost(1, 40, () -> keptOutOfAllScopes(10));
        lost(2, 80, LeaksTest::scopeOfAnEndedThread);
        lost(1, 0, () -> RandomSource.seeded(1).device());
        Path file = folder.resolve("w.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(file, Map.of(), Map.of("w", Torch.zeros(4)));
        }
        lost(1, Files.size(file), () -> open(file));
        assertEquals(5, NativeMemory.liveTensors());
        System.out.println("all as it should be");
    }

    private static void open(Path file) {
        try {
            SafetensorsFile.open(file).entries();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static void zeros(long count) {
        try (TensorScope scope = TensorScope.open()) {
            Torch.zeros(count).retain();
        }
    }

    private static void keptOutOfAllScopes(long count) {
        try (TensorScope scope = TensorScope.open()) {
            scope.keep(Torch.zeros(count));
        }
    }

    private static void scopeOfAnEndedThread() {
        Thread thread = Thread.ofPlatform().start(() -> {
            TensorScope.open();
            Torch.zeros(10);
            TensorScope.open();
            Torch.zeros(10);
        });
        try {
            thread.join();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private static void lost(long objects, long bytes, Runnable loss) {
        long before = NativeMemory.lostObjects();
        long bytesBefore = NativeMemory.lostBytes();
        loss.run();
        await(() -> NativeMemory.lostObjects() - before == objects);
        assertEquals(bytes, NativeMemory.lostBytes() - bytesBefore);
    }

    private static void closedIsNotLost() {
        for (int i = 0; i < 100; i++) {
            try (TensorScope scope = TensorScope.open()) {
                Torch.zeros(3).retain().close();
                RandomSource.seeded(i).close();
            }
        }
        collect();
        assertEquals(0, NativeMemory.lostObjects());
    }

    private static void aSegmentKeepsItsTensor() {
        MemorySegment segment;
        try (TensorScope scope = TensorScope.open()) {
            segment = Torch.full(7, DType.FLOAT32, Device.CPU, 1000).retain().segment();
        }
        for (int i = 0; i < 5; i++) {
            collect();
            try (TensorScope scope = TensorScope.open()) {
                Torch.full(i, DType.FLOAT32, Device.CPU, 1000);
            }
        }
        assertEquals(0, NativeMemory.lostObjects());
        assertEquals(1, NativeMemory.liveTensors());
        assertEquals(7, segment.getAtIndex(JAVA_FLOAT, 999));
        // Lost together with its segment.
        segment = MemorySegment.NULL;
        await(() -> NativeMemory.lostObjects() == 1);
        assertEquals(4000, NativeMemory.lostBytes());
        assertEquals(0, segment.byteSize());
    }

    private static void memoryOfAnAutomaticArenaStaysWhileAViewLives() {
        try (TensorScope scope = TensorScope.open()) {
            MemorySegment memory =
                    Arena.ofAuto().allocateFrom(JAVA_FLOAT, new float[1000]).fill((byte) 1);
            float value = memory.getAtIndex(JAVA_FLOAT, 0);
            WeakReference<MemorySegment> watched = new WeakReference<>(memory);
            Tensor tensor = Torch.of(memory, DType.FLOAT32, 1000);
            memory = MemorySegment.NULL;
            Tensor view = tensor.narrow(0, 500, 10).view(2, 5).select(0, 1);
            tensor.close();
            for (int i = 0; i < 5; i++) {
                collect();
                Arena.ofAuto().allocate(4000);
            }
            assertFalse(watched.refersTo(null));
            assertEquals(value, view.max().item());
            assertEquals(value, view.min().item());
            assertEquals(0, memory.byteSize());
            scope.close();
            await(() -> watched.refersTo(null));
        }
        assertThrows(IllegalStateException.class, TensorScope::innermost);
    }

    private static void await(BooleanSupplier condition) {
        for (int i = 0; i < 1000 && !condition.getAsBoolean(); i++) {
            collect();
        }
        assertTrue(condition.getAsBoolean());
    }

    private static void collect() {
        System.gc();
        try {
            Thread.sleep(5);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }
}
