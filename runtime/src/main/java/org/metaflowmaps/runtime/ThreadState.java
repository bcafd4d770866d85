package org.metaflowmaps.runtime;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * What this library keeps per thread: the innermost open {@link TensorScope}, and a counter of native calls.
 *
 * <p>The counter is odd while the thread is inside a native call that uses a tensor another thread may free. Whoever frees such a
 * tensor first marks it as freed, then waits until every other thread has left the call that it was in, and only then returns the
 * memory: a call that began before the mark finishes, and a call that begins after it sees the mark. Tensors of the thread's own
 * scopes are freed by that thread only, so their calls are not counted.
 */
final class ThreadState implements AutoCloseable {
    private static final ThreadLocal<ThreadState> CURRENT = ThreadLocal.withInitial(ThreadState::register);
    private static final VarHandle ELEMENT = MethodHandles.arrayElementVarHandle(long[].class);
    /** The counter's place: no other thread's data are within 128 bytes, so counting does not slow others down. */
    private static final int COUNTER = 16;

    private static final int SPINS = 200;
    private static final long PAUSE_NANOS = 50_000;

    private static volatile ThreadState[] all = new ThreadState[0];

    /** Written by this thread; read by others only once this thread has ended. */
    @Nullable
    TensorScope innermost;

    private final Thread thread = Thread.currentThread();
    private final long[] calls = new long[2 * COUNTER];
    private int depth;

    private ThreadState() {}

    static ThreadState current() {
        return CURRENT.get();
    }

    private static ThreadState register() {
        ThreadState state = new ThreadState();
        sweep(state);
        return state;
    }

    /** Drops threads that have ended, and reports the tensors of the scopes that they left open. */
    static void sweep() {
        sweep(null);
    }

    private static void sweep(@Nullable ThreadState added) {
        List<TensorScope> abandoned = new ArrayList<>();
        synchronized (CURRENT) {
            List<ThreadState> living = new ArrayList<>();
            for (ThreadState state : all) {
                if (state.thread.isAlive()) {
                    living.add(state);
                } else if (state.innermost != null) {
                    abandoned.add(state.innermost);
                }
            }
            if (added != null) {
                living.add(added);
            }
            all = living.toArray(new ThreadState[0]);
        }
        abandoned.forEach(TensorScope::reportLost);
    }

    /** Counts a native call, unless the tensor is this thread's own; the result, null where nothing is counted, ends it. */
    static @Nullable ThreadState enter(Tensor operand) {
        return operand.isOwn() ? null : current().begin();
    }

    static @Nullable ThreadState enter(Tensor first, Tensor second) {
        return first.isOwn() && second.isOwn() ? null : current().begin();
    }

    static @Nullable ThreadState enter(Tensor... operands) {
        for (Tensor operand : operands) {
            if (!operand.isOwn()) {
                return current().begin();
            }
        }
        return null;
    }

    private ThreadState begin() {
        if (depth++ == 0) {
            ELEMENT.setOpaque(calls, COUNTER, calls[COUNTER] + 1);
            // Pairs with the fence in awaitOthers: either this thread sees the mark, or the other one sees the odd
            // number.
            VarHandle.fullFence();
        }
        return this;
    }

    /** Ends the call. Calls nothing: it must succeed wherever {@link #begin} did, on a stack that is almost full too. */
    @Override
    public void close() {
        if (--depth == 0) {
            ELEMENT.setRelease(calls, COUNTER, calls[COUNTER] + 1);
        }
    }

    /** Waits until every other thread has left the counted call that it is in now. Marks made before are seen by all later calls. */
    static void awaitOthers() {
        VarHandle.fullFence();
        Thread self = Thread.currentThread();
        for (ThreadState state : all) {
            if (state.thread != self) {
                state.awaitEnd();
            }
        }
    }

    private void awaitEnd() {
        long seen = (long) ELEMENT.getAcquire(calls, COUNTER);
        for (int i = 0; (seen & 1) != 0 && (long) ELEMENT.getAcquire(calls, COUNTER) == seen && thread.isAlive(); i++) {
            pause(i);
        }
    }

    /** Lets time pass in a loop that waits for another thread's native call. */
    static void pause(int round) {
        if (round < SPINS || Thread.currentThread().isInterrupted()) {
            Thread.onSpinWait();
        } else {
            LockSupport.parkNanos(PAUSE_NANOS);
        }
    }
}
