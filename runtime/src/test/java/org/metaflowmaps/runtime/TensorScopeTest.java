package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.illegalState;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class TensorScopeTest {
    private long tensorsBefore;
    private long bytesBefore;

    @BeforeEach
    void count() {
        tensorsBefore = NativeMemory.liveTensors();
        bytesBefore = NativeMemory.liveBytes();
    }

    @AfterEach
    void nothingIsLeft() {
        assertEquals(tensorsBefore, NativeMemory.liveTensors());
        assertEquals(bytesBefore, NativeMemory.liveBytes());
    }

    private static void on(Thread.Builder kind, Executable action) throws Exception {
        FutureTask<Void> task = new FutureTask<>(() -> {
            assertDoesNotThrow(action);
            return null;
        });
        kind.start(task).join();
        task.get();
    }

    @Test
    void resultsBelongToTheInnermostScopeWhateverTheirOperands() {
        try (TensorScope outer = TensorScope.open()) {
            Tensor outside = Torch.of(new float[] {1, 2});
            Tensor result;
            try (TensorScope inner = TensorScope.open()) {
                result = outside.add(outside);
                assertEquals(1, inner.size());
                assertEquals(1, outer.size());
            }
            assertTrue(result.isFreed());
            assertFalse(outside.isFreed());
            assertEquals(1, outer.size());
        }
    }

    @Test
    void keepHandsOneScopeOutwards() {
        Tensor kept;
        try (TensorScope outer = TensorScope.open()) {
            try (TensorScope middle = TensorScope.open()) {
                try (TensorScope inner = TensorScope.open()) {
                    Tensor dropped = Torch.zeros(3);
                    kept = inner.keep(Torch.of(new float[] {7}));
                    assertEquals(List.of(1, 1, 0), List.of(inner.size(), middle.size(), outer.size()));
                    illegalState("does not belong to this scope", () -> inner.keep(kept));
                    illegalState("does not belong to this scope", () -> outer.keep(dropped));
                }
                assertEquals(7, kept.item());
                assertSame(kept, middle.keep(kept));
            }
            assertEquals(7, kept.item());
        }
        assertTrue(kept.isFreed());
    }

    @Test
    void keptFromTheOutermostScopeIsTheCallers() {
        Tensor mine;
        try (TensorScope scope = TensorScope.open()) {
            mine = scope.keep(Torch.of(new float[] {5}));
        }
        assertEquals(tensorsBefore + 1, NativeMemory.liveTensors());
        assertEquals(5, mine.item());
        mine.close();
        assertTrue(mine.isFreed());
    }

    /** Operations that make several results or open a scope throw before they make anything. */
    @Test
    void withoutAScopeNothingIsMade() {
        List<Tensor> operands = new ArrayList<>();
        try (TensorScope scope = TensorScope.open()) {
            operands.add(Torch.zeros(1L << 22));
            Tensor turned = Torch.zeros(3, 2).transpose(0, 1);
            operands.addAll(List.of(
                    turned, Torch.zeros(2, 3), Torch.zeros(2, 1), Torch.full(1, DType.FLOAT32, Device.CPU, 2, 1)));
            operands.add(Torch.zeros(2).requiresGrad_(true));
            operands.add(operands.getLast().sum());
            operands.forEach(Tensor::retain);
        }
        Tensor large = operands.get(0);
        Tensor turned = operands.get(1);
        Tensor input = operands.get(2);
        Tensor leaf = operands.get(5);
        Tensor loss = operands.get(6);
        long live = NativeMemory.liveTensors();
        for (Executable action : List.<Executable>of(
                large::norm,
                () -> large.sort(0),
                () -> input.chunk(2, 0),
                () -> Torch.layerNorm(input, 1e-6),
                () -> Torch.linalgEigh(input),
                () -> Torch.layerNormBackward(turned, input, operands.get(3), operands.get(4)),
                () -> Torch.layerNormBackward(input, input, operands.get(3), operands.get(4)),
                () -> Autograd.gradients(loss, List.of(leaf)))) {
            illegalState("no TensorScope is open", action);
            assertEquals(live, NativeMemory.liveTensors());
        }
        try (TensorScope scope = TensorScope.open()) {
            // The graph still exists.
            assertEquals(
                    1, Autograd.gradients(loss, List.of(leaf)).getFirst().max().item());
        }
        operands.forEach(Tensor::close);
    }

    @Test
    void retainAndCloseMayBeRepeated() {
        Tensor tensor;
        try (TensorScope scope = TensorScope.open()) {
            tensor = Torch.zeros(4);
            assertSame(tensor, tensor.retain());
            assertSame(tensor, tensor.retain());
            assertEquals(0, scope.size());
            Tensor early = Torch.zeros(4);
            early.close();
            early.close();
            assertEquals(0, scope.size());
            illegalState("was freed", early::retain);
        }
        assertFalse(tensor.isFreed());
        tensor.close();
        tensor.close();
    }

    @Test
    void anExceptionInBetweenFreesToo() {
        List<Tensor> made = new ArrayList<>();
        assertThrows(TensorException.class, () -> {
            try (TensorScope outer = TensorScope.open()) {
                made.add(Torch.zeros(2));
                try (TensorScope inner = TensorScope.open()) {
                    made.add(Torch.zeros(3));
                    made.get(0).add(made.get(1));
                }
            }
        });
        assertTrue(made.stream().allMatch(Tensor::isFreed));
        illegalState("no TensorScope is open", TensorScope::innermost);
    }

    @Test
    void closingOutOfOrderIsRefusedAndChangesNothing() {
        TensorScope outer = TensorScope.open();
        TensorScope inner = TensorScope.open();
        Tensor tensor = Torch.zeros(1);
        illegalState("is still open", outer::close);
        assertFalse(tensor.isFreed());
        inner.close();
        inner.close();
        outer.close();
        outer.close();
        illegalState("no TensorScope is open", TensorScope::innermost);
    }

    @Test
    void otherThreadsAreRefused() throws Exception {
        try (TensorScope scope = TensorScope.open()) {
            Tensor tensor = Torch.of(new float[] {3});
            on(Thread.ofPlatform().name("other"), () -> {
                illegalState("belongs to thread", scope::close);
                illegalState("belongs to thread", () -> scope.keep(tensor));
                illegalState("belongs to thread", tensor::close);
                illegalState("belongs to thread", tensor::retain);
                illegalState("no TensorScope is open on thread 'other'", () -> tensor.add(1));
                assertEquals(3, tensor.item());
            });
            assertEquals(1, scope.size());
        }
    }

    @Test
    void aRetainedTensorMayBeFreedByAnyThread() throws Exception {
        Tensor tensor;
        try (TensorScope scope = TensorScope.open()) {
            tensor = Torch.zeros(3).retain();
        }
        on(Thread.ofPlatform(), tensor::close);
        assertTrue(tensor.isFreed());
    }

    @Test
    void virtualThreadsAreRefused() throws Exception {
        on(Thread.ofVirtual(), () -> illegalState("virtual thread", TensorScope::open));
        on(Thread.ofVirtual(), () -> illegalState("virtual thread", Autograd::noGrad));
    }

    @Test
    void withoutAScopeNothingIsMadeAndTheErrorSaysWhatToDo() {
        String advice = "wrap the work in try (var scope = TensorScope.open())";
        illegalState(advice, () -> Torch.zeros(2));
        illegalState(advice, () -> Torch.of(new float[] {1}));
        try (RandomSource random = RandomSource.seeded(1)) {
            illegalState(advice, () -> random.normal(2));
        }
        Tensor mine;
        try (TensorScope scope = TensorScope.open()) {
            mine = scope.keep(Torch.of(new float[] {2}));
        }
        illegalState(advice, () -> mine.add(1));
        illegalState(advice, () -> mine.chunk(1, 0));
        illegalState(advice, () -> Torch.cat(0, mine, mine));
        mine.add_(1);
        assertEquals(3, mine.item());
        mine.close();
    }

    @Test
    void theUseOfAFreedTensorIsRefused() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor freed = Torch.zeros(2);
            Tensor other = Torch.zeros(2);
            freed.close();
            assertEquals("Tensor(freed)", freed.toString());
            List<Executable> uses = List.of(
                    freed::shape,
                    freed::item,
                    freed::segment,
                    freed::unwrap,
                    freed::requiresGrad,
                    freed::toFloatArray,
                    () -> freed.add(1),
                    () -> freed.add_(1),
                    () -> other.add(freed),
                    () -> other.add_(freed),
                    () -> other.addcmul_(other, freed, 1),
                    () -> freed.chunk(1, 0),
                    () -> Torch.cat(0, other, freed),
                    () -> freed.sort(0),
                    () -> other.lerp(other, freed),
                    () -> Torch.layerNorm(freed, 1),
                    () -> Autograd.backward(freed),
                    () -> Torch.softmaxBackward(other, freed, 0),
                    () -> Autograd.gradients(other, List.of(freed)));
            for (Executable use : uses) {
                illegalState("this tensor was freed: its scope closed or close() was called", use);
            }
        }
    }

    @Test
    void aSegmentThrowsOnceItsTensorIsFreed() {
        MemorySegment segment;
        MemorySegment second;
        try (TensorScope scope = TensorScope.open()) {
            Tensor tensor = Torch.of(new float[] {1, 2});
            segment = tensor.segment();
            second = tensor.segment();
            assertEquals(2, segment.getAtIndex(ValueLayout.JAVA_FLOAT, 1));
        }
        assertThrows(IllegalStateException.class, () -> segment.getAtIndex(ValueLayout.JAVA_FLOAT, 1));
        assertThrows(IllegalStateException.class, () -> second.setAtIndex(ValueLayout.JAVA_FLOAT, 0, 1));
    }

    /**
     * Tensors are closed, kept or left to the scope in any order: each is freed once, and the scope's array does not
     * grow without need.
     */
    @Test
    void aScopeOfManyTensorsWithEarlyClosesKeepsCount() {
        Random random = new Random(1);
        try (TensorScope outer = TensorScope.open()) {
            List<Tensor> live = new ArrayList<>();
            int kept = 0;
            try (TensorScope scope = TensorScope.open()) {
                Tensor first = Torch.zeros(1);
                for (int i = 0; i < 120_000; i++) {
                    live.add(first.view(1));
                    if (live.size() > 20_000 || random.nextInt(3) == 0) {
                        int at = random.nextInt(live.size());
                        Tensor gone = live.set(at, live.getLast());
                        live.removeLast();
                        if (random.nextInt(50) == 0) {
                            scope.keep(gone);
                            kept++;
                        } else {
                            gone.close();
                        }
                    }
                }
                assertEquals(live.size() + 1, scope.size());
                assertEquals(kept, outer.size());
                assertEquals(tensorsBefore + live.size() + 1 + kept, NativeMemory.liveTensors());
                assertTrue(
                        scope.capacity() <= 4 * 20_000,
                        "a scope for 20,000 tensors holds room for " + scope.capacity());
                assertTrue(live.stream().noneMatch(Tensor::isFreed));
            }
            assertTrue(live.stream().allMatch(Tensor::isFreed));
            assertEquals(tensorsBefore + kept, NativeMemory.liveTensors());
        }
    }

    @Test
    void aScopeHoldsAHundredThousandTensors() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor first = Torch.zeros(1);
            for (int i = 1; i < 100_000; i++) {
                first.view(1);
            }
            assertEquals(100_000, scope.size());
            assertEquals(tensorsBefore + 100_000, NativeMemory.liveTensors());
        }
    }

    @Test
    void knowsWhichThreadsUseATensor() throws InterruptedException {
        ThreadState here = ThreadState.current();
        try (TensorScope scope = TensorScope.open()) {
            Tensor own = Torch.zeros(DType.FLOAT32, Device.CPU, 2);
            Tensor lent = Torch.zeros(DType.FLOAT32, Device.CPU, 2);
            Tensor kept = Torch.zeros(DType.FLOAT32, Device.CPU, 2).retain();
            own.add(own);
            kept.add(own);
            assertFalse(own.isUsedBesides(here));
            assertFalse(kept.isUsedBesides(here), "only this thread has used it");
            Thread other = Thread.ofPlatform().start(() -> {
                try (TensorScope inner = TensorScope.open()) {
                    Tensor result = lent.add(1);
                    result.add(kept);
                    assertFalse(result.isUsedBesides(ThreadState.current()));
                }
            });
            other.join();
            assertFalse(own.isUsedBesides(here));
            assertTrue(lent.isUsedBesides(here));
            assertTrue(kept.isUsedBesides(here));
            kept.close();
        }
    }
}
