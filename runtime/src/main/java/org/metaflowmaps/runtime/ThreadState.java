package org.metaflowmaps.runtime;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * This library's state per thread: the innermost open {@link TensorScope}, and a counter of native calls.
 *
 * <p>The counter is odd during a native call that uses a tensor which another thread may free, and that tensor knows
 * which thread has used it so. A thread that frees a tensor marks it as freed, waits until every other thread has left
 * its current call if others have used that tensor, and then frees the memory. So a call that began before the mark
 * finishes, and a later call sees the mark. Only the own thread frees tensors of its scopes, so calls on them are not
 * counted, and their threads do not wait for each other.
 */
final class ThreadState implements AutoCloseable {
    private static final ThreadLocal<ThreadState> CURRENT = ThreadLocal.withInitial(ThreadState::register);
    private static final VarHandle ELEMENT = MethodHandles.arrayElementVarHandle(long[].class);
    /** Index of the counter: at least 128 bytes from other data, so that threads do not share a cache line. */
    private static final int COUNTER = 16;

    private static final int SPINS = 200;
    private static final long PAUSE_NANOS = 50_000;

    private static volatile ThreadState[] all = new ThreadState[0];

    /** Written by this thread; others read it only after this thread has ended. */
    @Nullable
    TensorScope innermost;

    /** Stands for a thread in tensors, which may outlive it. */
    static final class Token {}

    final Token token = new Token();

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

    /** Removes ended threads, and reports the tensors of the scopes that they left open. */
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

    /**
     * Counts a native call unless the tensor belongs to this thread. Close the result to end the call; null if not
     * counted.
     */
    static @Nullable ThreadState enter(Tensor operand) {
        if (operand.isOwn()) {
            return null;
        }
        ThreadState state = current();
        operand.useFrom(state);
        return state.begin();
    }

    static @Nullable ThreadState enter(Tensor first, Tensor second) {
        if (first.isOwn() && second.isOwn()) {
            return null;
        }
        ThreadState state = current();
        state.use(first);
        state.use(second);
        return state.begin();
    }

    static @Nullable ThreadState enter(Tensor... operands) {
        for (Tensor operand : operands) {
            if (!operand.isOwn()) {
                return current().begin(operands);
            }
        }
        return null;
    }

    private ThreadState begin(Tensor[] operands) {
        for (Tensor operand : operands) {
            use(operand);
        }
        return begin();
    }

    private void use(Tensor operand) {
        if (!operand.isOwn()) {
            operand.useFrom(this);
        }
    }

    private ThreadState begin() {
        if (depth++ == 0) {
            ELEMENT.setOpaque(calls, COUNTER, calls[COUNTER] + 1);
            // Pairs with the fence in awaitOthers: this thread sees the mark, or the other one sees the odd number.
            VarHandle.fullFence();
        }
        return this;
    }

    /**
     * Ends the call. Uses only intrinsics, because it must succeed after {@link #begin} even on an almost full stack.
     */
    @Override
    public void close() {
        if (--depth == 0) {
            ELEMENT.setRelease(calls, COUNTER, calls[COUNTER] + 1);
        }
    }

    /**
     * Waits until every other thread has left its current counted call. Later calls see all marks made before this
     * call.
     */
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

    /** Spins or parks in a loop that waits for another thread's native call. */
    static void pause(int round) {
        if (round < SPINS || Thread.currentThread().isInterrupted()) {
            Thread.onSpinWait();
        } else {
            LockSupport.parkNanos(PAUSE_NANOS);
        }
    }
}
