package org.metaflowmaps.runtime;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;
import org.metaflowmaps.bindings.ThreadPools;

/**
 * Threads that share out independent work on the CPU, as many as libtorch may use ({@link #count}). On each of them
 * libtorch runs single-threaded. That is faster than parallel operations, which wait for each other after every
 * operation, and whose two pools, OpenMP's and BLAS's, compete for the same processors.
 *
 * <p>The threads start at the first use, live until the process ends and do not keep it alive. Of the calling thread's
 * state a task sees only whether gradients are recorded; it opens its own {@link TensorScope} and {@link Autocast}.
 */
public final class Workers {
    private static final ThreadLocal<Boolean> INSIDE = ThreadLocal.withInitial(() -> false);
    private static int active;

    private Workers() {}

    /** The threads, started when a task needs them. */
    private static final class Pool {
        static final int COUNT = ThreadPools.threads();
        static final ExecutorService THREADS = Executors.newFixedThreadPool(COUNT, Pool::thread);

        private static Thread thread(Runnable work) {
            Thread thread = new Thread(() -> {
                ThreadPools.useOneThread();
                INSIDE.set(true);
                work.run();
            });
            thread.setName("metaflowmaps-worker-" + thread.threadId());
            thread.setDaemon(true);
            return thread;
        }
    }

    /**
     * Returns how many tasks run at once: the number of libtorch's threads when this class was first used; 1 inside a
     * task, because tasks do not nest.
     */
    public static int count() {
        return INSIDE.get() ? 1 : Pool.COUNT;
    }

    /**
     * Runs tasks and returns when all have ended. With one thread, or one task, they run on the calling thread in order.
     *
     * @param tasks independent of each other; they see the memory of the caller, and the caller sees theirs
     * @throws RuntimeException the first failed task's, in the order of the tasks; an {@link Error} likewise
     */
    public static void run(List<? extends Runnable> tasks) {
        Operands.present("Workers.run", "tasks", tasks).forEach(task -> Operands.present("Workers.run", "task", task));
        if (count() == 1 || tasks.size() == 1) {
            tasks.forEach(Runnable::run);
            return;
        }
        boolean recording = Autograd.isRecording();
        begin();
        try {
            List<Future<?>> running = new ArrayList<>();
            for (Runnable task : tasks) {
                running.add(Pool.THREADS.submit(() -> {
                    try (Autograd.Mode mode = recording ? Autograd.enableGrad() : Autograd.noGrad()) {
                        task.run();
                    }
                }));
            }
            await(running);
        } finally {
            end();
        }
    }

    /**
     * Computes some tensors per task, as {@link #run} does.
     *
     * @param tasks each returns tensors of its innermost scope
     * @return the tensors in the order of the tasks, in the caller's innermost open scope
     * @throws RuntimeException the first failed task's, in the order of the tasks; an {@link Error} likewise
     */
    public static List<List<Tensor>> map(List<? extends Supplier<List<Tensor>>> tasks) {
        Operands.present("Workers.map", "tasks", tasks).forEach(task -> Operands.present("Workers.map", "task", task));
        TensorScope target = TensorScope.innermost();
        List<List<Tensor>> results = new ArrayList<>();
        if (count() == 1 || tasks.size() == 1) {
            tasks.forEach(task -> results.add(task.get()));
            return results;
        }
        List<Runnable> storing = new ArrayList<>();
        for (Supplier<List<Tensor>> task : tasks) {
            List<Tensor> own = new ArrayList<>();
            results.add(own);
            storing.add(() -> {
                try (TensorScope scope = TensorScope.open()) {
                    task.get().forEach(tensor -> own.add(tensor.retain()));
                }
            });
        }
        try {
            run(storing);
        } finally {
            // Also after a failure, so that the scope frees the other results.
            results.forEach(own -> own.forEach(target::add));
        }
        return results;
    }

    /**
     * Computes on the calling thread with matrix products that are single-threaded, which is faster for small ones:
     * BLAS shares out even products of a few microseconds, and its threads then wait for each other.
     *
     * @return the result of the computation
     */
    public static <T> T alone(Supplier<T> computation) {
        Operands.present("Workers.alone", "computation", computation);
        if (count() == 1) {
            return computation.get();
        }
        begin();
        try {
            return computation.get();
        } finally {
            end();
        }
    }

    /**
     * Matrix products are single-threaded in the whole process, as in {@link #alone}, from {@link #hold} to the close.
     */
    public static final class Hold implements AutoCloseable {
        private final AtomicBoolean open = new AtomicBoolean(true);

        private Hold() {
            begin();
        }

        /** Lets BLAS use its threads again, unless others still hold them; further calls do nothing. */
        @Override
        public void close() {
            if (open.getAndSet(false)) {
                end();
            }
        }
    }

    /**
     * Makes matrix products single-threaded until the result is closed: for objects whose work, such as gradients, also
     * runs outside of their own methods.
     *
     * @return owned by the caller
     */
    public static Hold hold() {
        return new Hold();
    }

    /** BLAS has one pool for the process, so it is switched off while any thread shares out work here. */
    private static synchronized void begin() {
        if (active++ == 0) {
            ThreadPools.setBlasThreads(1);
        }
    }

    private static synchronized void end() {
        if (--active == 0) {
            ThreadPools.setBlasThreads(Pool.COUNT);
        }
    }

    private static void await(List<Future<?>> running) {
        Throwable failure = null;
        boolean interrupted = false;
        for (Future<?> task : running) {
            while (true) {
                try {
                    task.get();
                    break;
                } catch (InterruptedException e) {
                    // The tasks use the caller's tensors, so wait for them all the same.
                    interrupted = true;
                } catch (ExecutionException e) {
                    failure = failure == null ? e.getCause() : failure;
                    break;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        if (failure instanceof RuntimeException exception) {
            throw exception;
        }
        if (failure instanceof Error error) {
            throw error;
        }
    }
}
