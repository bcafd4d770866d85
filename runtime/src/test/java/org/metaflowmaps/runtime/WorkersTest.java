package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.bindings.ThreadPools;

/** Tasks run at the same time, and their results and failures arrive on the calling thread. */
final class WorkersTest {
    private static final int THREADS = 3;
    private static final int TASKS = 7;

    /** Checks everything in a process with several threads: this one has as many as the build gives it. */
    static final class Child {
        private Child() {}

        public static void main(String[] arguments) throws InterruptedException {
            assertEquals(THREADS, Workers.count());
            checkAll();
            Set<Thread> used = ConcurrentHashMap.newKeySet();
            List<Runnable> tasks = new ArrayList<>();
            for (int i = 0; i < 30; i++) {
                tasks.add(() -> {
                    assertEquals(1, ThreadPools.threads());
                    assertEquals(1, Workers.count());
                    used.add(Thread.currentThread());
                    // A task that shares out work itself does it alone.
                    Workers.run(List.of(() -> used.add(Thread.currentThread()), () -> {}));
                });
            }
            Workers.run(tasks);
            assertTrue(used.size() <= THREADS && !used.contains(Thread.currentThread()), used.toString());
            assertEquals(THREADS, ThreadPools.threads());
            Thread.currentThread().interrupt();
            Workers.run(tasks);
            assertTrue(Thread.interrupted());
            manyCallers(tasks);
            alone();
            System.out.println("all well");
        }

        /** Inside BLAS has one thread, also if tasks are shared out there; afterwards as many as before. */
        private static void alone() {
            if (ThreadPools.blasThreads() == 0) {
                return;
            }
            assertEquals(THREADS, ThreadPools.blasThreads());
            int inside = Workers.alone(() -> {
                Workers.run(List.of(() -> {}, () -> {}));
                return ThreadPools.blasThreads();
            });
            assertEquals(1, inside);
            assertThrows(
                    IllegalStateException.class,
                    () -> Workers.alone(() -> {
                        throw new IllegalStateException("a computation that fails");
                    }));
            assertEquals(THREADS, ThreadPools.blasThreads());
            try (Workers.Hold first = Workers.hold()) {
                Workers.Hold second = Workers.hold();
                second.close();
                second.close();
                assertEquals(1, ThreadPools.blasThreads());
            }
            assertEquals(THREADS, ThreadPools.blasThreads());
        }

        private static void manyCallers(List<Runnable> tasks) throws InterruptedException {
            List<Thread> callers = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                Thread caller = new Thread(() -> Workers.run(tasks));
                callers.add(caller);
                caller.start();
            }
            for (Thread caller : callers) {
                caller.join();
            }
        }
    }

    private static void checkAll() {
        resultsComeInTheOrderOfTheTasks();
        aFailureFreesTheOtherResults();
        gradientsAreRecordedAsByTheCaller();
    }

    private static void resultsComeInTheOrderOfTheTasks() {
        long before = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open()) {
            Tensor shared = Torch.full(1, DType.FLOAT32, Device.CPU, 1000);
            List<Supplier<List<Tensor>>> tasks = new ArrayList<>();
            for (int i = 0; i < TASKS; i++) {
                int factor = i + 1;
                tasks.add(() -> List.of(shared.mul(factor).sum(), shared.mul(-factor)));
            }
            List<List<Tensor>> results = Workers.map(tasks);
            for (int i = 0; i < TASKS; i++) {
                assertEquals(1000.0 * (i + 1), results.get(i).get(0).item());
                assertEquals(-1000.0 * (i + 1), results.get(i).get(1).sum().item());
            }
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    private static void aFailureFreesTheOtherResults() {
        long before = NativeMemory.liveTensors();
        IllegalStateException first = new IllegalStateException("first");
        try (TensorScope scope = TensorScope.open()) {
            List<Supplier<List<Tensor>>> tasks = new ArrayList<>();
            tasks.add(() -> List.of(Torch.zeros(3)));
            tasks.add(() -> {
                Torch.zeros(5);
                throw first;
            });
            tasks.add(() -> {
                throw new IllegalStateException("second");
            });
            assertSame(first, assertThrows(IllegalStateException.class, () -> Workers.map(tasks)));
            assertThrows(
                    StackOverflowError.class,
                    () -> Workers.run(List.of(() -> {}, () -> {
                        throw new StackOverflowError();
                    })));
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    private static void gradientsAreRecordedAsByTheCaller() {
        List<Boolean> recorded = new ArrayList<>();
        Runnable task = () -> {
            synchronized (recorded) {
                recorded.add(Autograd.isRecording());
            }
        };
        Workers.run(List.of(task, task));
        try (Autograd.Mode off = Autograd.noGrad()) {
            Workers.run(List.of(task, task));
        }
        assertEquals(List.of(true, true, false, false), recorded);
    }

    @Test
    void onThisProcessesThreads() {
        checkAll();
    }

    @Test
    void withoutTasksNothingHappens() {
        Workers.run(List.of());
        try (TensorScope scope = TensorScope.open()) {
            assertTrue(Workers.map(List.<Supplier<List<Tensor>>>of()).isEmpty());
        }
    }

    @Test
    void onSeveralThreads() throws IOException, InterruptedException {
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-Dorg.metaflowmaps.threads=" + THREADS,
                        "-cp",
                        System.getProperty("java.class.path"),
                        Child.class.getName())
                .redirectErrorStream(true)
                .start();
        String text = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, child.waitFor(), text);
        assertTrue(text.contains("all well"), text);
        assertFalse(text.contains("lost"), text);
    }
}
