package org.metaflowmaps.runtime;

import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.ComputeStream;

/**
 * An arena for tensors: closing it frees the tensors made while it was its thread's innermost open scope.
 *
 * <p>Scopes nest per thread. A result belongs to the innermost open scope, whatever scopes its operands belong to;
 * {@link #keep} moves it one scope outwards, {@link Tensor#retain} takes it out of all scopes. Closing frees at once,
 * last made first; nothing waits for the garbage collector. A scope that is never closed frees nothing: after its
 * thread has ended, its tensors count as lost ({@link NativeMemory#lostObjects}).
 *
 * <p>Thread safety: only the thread that opened a scope may use it; other threads get an {@link IllegalStateException}.
 * Other threads may read its tensors: {@link #close} waits until their calls on these tensors return, and later calls
 * throw {@link IllegalStateException}.
 *
 * <pre>{@code
 * try (var scope = TensorScope.open()) {
 *     Tensor noise = random.normal(64, 1, 28, 28);
 *     ...
 * }
 * }</pre>
 */
public final class TensorScope implements AutoCloseable {
    private static final Tensor[] NONE = new Tensor[0];

    private final @Nullable TensorScope parent;
    private final Thread thread;
    private @Nullable Tensor[] tensors = new Tensor[32];
    private int size;
    private boolean closed;

    private TensorScope(@Nullable TensorScope parent) {
        this.parent = parent;
        this.thread = Thread.currentThread();
    }

    /**
     * Opens a scope inside the innermost one of this thread.
     *
     * @throws IllegalStateException on a virtual thread: libtorch keeps state per thread of the operating system
     */
    public static TensorScope open() {
        if (Thread.currentThread().isVirtual()) {
            throw new IllegalStateException(
                    "a TensorScope was opened on a virtual thread: libtorch keeps state per thread of "
                            + "the operating system, so run tensor work on platform threads");
        }
        ThreadState state = ThreadState.current();
        if (state.innermost == null) {
            ComputeStream.enter();
        }
        TensorScope scope = new TensorScope(state.innermost);
        state.innermost = scope;
        return scope;
    }

    static TensorScope innermost() {
        TensorScope scope = ThreadState.current().innermost;
        if (scope == null) {
            throw new IllegalStateException("no TensorScope is open on thread '"
                    + Thread.currentThread().getName()
                    + "': wrap the work in try (var scope = TensorScope.open()) { ... }");
        }
        return scope;
    }

    void add(Tensor tensor) {
        if (size == tensors.length) {
            compact();
        }
        tensors[size] = tensor;
        tensor.place(this, size++);
    }

    /** Removes the slots of tensors that left early; grows only if most slots are still used. */
    private void compact() {
        int live = 0;
        for (int i = 0; i < size; i++) {
            Tensor tensor = tensors[i];
            if (tensor != null) {
                tensors[live] = tensor;
                tensor.place(this, live++);
            }
        }
        Arrays.fill(tensors, live, size, null);
        size = live;
        if (live > tensors.length / 2) {
            tensors = Arrays.copyOf(tensors, tensors.length * 2);
        }
    }

    void remove(int slot) {
        tensors[slot] = null;
        while (size > 0 && tensors[size - 1] == null) {
            size--;
        }
    }

    /**
     * Moves a tensor of this scope to the scope around it. From the outermost scope it moves to the caller: then only
     * {@link Tensor#close} frees it.
     *
     * @param tensor a tensor that belongs to this scope
     * @return the same tensor
     * @throws IllegalStateException on another thread than the scope's, or if the tensor belongs to another scope
     */
    public Tensor keep(Tensor tensor) {
        checkThread("keep");
        if (closed || tensor.owner() != this) {
            throw new IllegalStateException(
                    "keep: the tensor " + tensor + " does not belong to this scope: it was made while "
                            + "another scope was innermost, was already kept, or was freed");
        }
        remove(tensor.slot());
        if (parent != null) {
            parent.add(tensor);
        } else {
            tensor.leaveScopes();
        }
        return tensor;
    }

    /** Number of tensors that closing this scope would free. */
    public int size() {
        int live = 0;
        for (int i = 0; i < size; i++) {
            live += tensors[i] == null ? 0 : 1;
        }
        return live;
    }

    /** Returns how many tensors fit before the scope must grow or compact. */
    int capacity() {
        return tensors.length;
    }

    boolean isOfThisThread() {
        return Thread.currentThread() == thread;
    }

    /** Adds the tensors of this scope and those around it to a list; for the scope's thread. */
    void addTo(List<Tensor> list) {
        for (TensorScope scope = this; scope != null; scope = scope.parent) {
            for (int i = 0; i < scope.size; i++) {
                Tensor tensor = scope.tensors[i];
                if (tensor != null) {
                    list.add(tensor);
                }
            }
        }
    }

    /**
     * Reports the tensors of this scope and those around it as lost, because their thread ended without closing them.
     */
    void reportLost() {
        for (TensorScope scope = this; scope != null; scope = scope.parent) {
            for (int i = 0; i < scope.size; i++) {
                Tensor tensor = scope.tensors[i];
                if (tensor != null) {
                    tensor.reportLost("in a scope that the ended thread '" + thread.getName() + "' left open");
                }
            }
        }
    }

    void checkThread(String action) {
        if (Thread.currentThread() != thread) {
            throw new IllegalStateException(
                    action + ": this TensorScope belongs to thread '" + thread.getName() + "', not to '"
                            + Thread.currentThread().getName() + "': use each scope on the thread that opened it");
        }
    }

    /**
     * Frees this scope's tensors, last made first. Closing twice does nothing.
     *
     * @throws IllegalStateException on another thread than the scope's, or while a scope inside it is open; also if a
     *     native call uses a tensor's {@link Tensor#segment}: all other tensors are freed then, and the caller must
     *     close that one
     */
    @Override
    public void close() {
        checkThread("close");
        if (closed) {
            return;
        }
        ThreadState state = ThreadState.current();
        if (state.innermost != this) {
            throw new IllegalStateException(
                    "close: a TensorScope opened inside this one is still open: close the inner one "
                            + "first, best by try (var scope = TensorScope.open())");
        }
        closed = true;
        state.innermost = parent;
        if (size > 0) {
            free();
        }
        tensors = NONE;
    }

    private void awaitUsers() {
        VarHandle.fullFence();
        ThreadState state = ThreadState.current();
        for (int i = 0; i < size; i++) {
            Tensor tensor = tensors[i];
            if (tensor != null && tensor.isUsedBesides(state)) {
                ThreadState.awaitOthers();
                return;
            }
        }
    }

    /** Marks all tensors as freed, waits once for other threads that read them, then frees the memory. */
    private void free() {
        for (int i = 0; i < size; i++) {
            Tensor tensor = tensors[i];
            if (tensor != null) {
                tensor.markFreed();
            }
        }
        awaitUsers();
        RuntimeException failure = null;
        long freed = 0;
        long bytes = 0;
        for (int i = size - 1; i >= 0; i--) {
            Tensor tensor = tensors[i];
            if (tensor != null) {
                try {
                    tensor.destroy();
                    freed++;
                    bytes += tensor.bytes();
                } catch (RuntimeException e) {
                    tensor.leaveScopes();
                    failure = failure == null ? e : failure;
                }
            }
        }
        NativeMemory.freed(freed, bytes);
        size = 0;
        if (failure != null) {
            throw failure;
        }
    }
}
