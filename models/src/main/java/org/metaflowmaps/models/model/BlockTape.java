package org.metaflowmaps.models.model;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.layer.Block;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;

/**
 * Gradients of a loss with transformer blocks computed by hand instead of by libtorch's graph, which stores about twice
 * the activations.
 *
 * <p>While a tape is open, this thread's evaluations of a {@link FlowMapTransformer} that record gradients store their
 * blocks' activations on it: only those without joint attention, without gradients through tangents, and whose inputs
 * require no gradients.
 * All other evaluations are recorded in libtorch's graph as usual. A loss that was computed under a tape must be
 * differentiated by {@link #backward}, because {@link Autograd} alone ends at the last block.
 *
 * <p>Thread safety: one thread, which closes inner tapes first.
 */
public final class BlockTape implements AutoCloseable {
    private static final ThreadLocal<@Nullable BlockTape> INNERMOST = new ThreadLocal<>();

    private final @Nullable BlockTape outer = INNERMOST.get();
    private final Thread thread = Thread.currentThread();
    private final List<SavedBlocks> evaluations = new ArrayList<>();
    private boolean closed;

    private BlockTape() {}

    /** Opens a tape for this thread's evaluations until it is closed. */
    public static BlockTape open() {
        BlockTape tape = new BlockTape();
        INNERMOST.set(tape);
        return tape;
    }

    /** Returns the tape for an evaluation whose only varying inputs are weights; null to record its graph. */
    static @Nullable BlockTape of(Dual start, Dual end, Dual state, Context context) {
        BlockTape tape = INNERMOST.get();
        if (tape == null || !Autograd.isRecording() || context.time().requiresGrad()) {
            return null;
        }
        for (Dual input : List.of(start, end, state, context.dualState())) {
            // Two backward passes would go through an input's graph, and the first one frees it.
            if (input.isThrough() || input.primal().requiresGrad()) {
                return null;
            }
        }
        return tape;
    }

    /** Applies an evaluation's blocks; the arguments have gradient graphs, and the result belongs to this tape. */
    SavedBlocks apply(List<Block> blocks, int encoderDepth, Dual tokens, Dual first, Dual second) {
        SavedBlocks saved = SavedBlocks.of(blocks, encoderDepth, tokens, first, second);
        evaluations.add(saved);
        return saved;
    }

    /**
     * Adds the gradients of a loss to the gradients of all leaves that it depends on, as {@link Autograd#backward}, and
     * frees the activations.
     *
     * @param loss one element, with a gradient graph, computed on this thread under this tape
     * @throws IllegalStateException on another thread, or after {@link #close}
     */
    public void backward(Tensor loss) {
        check("backward");
        Autograd.backward(Objects.requireNonNull(loss, "loss is null"));
        // Later evaluations may use results of earlier ones, so go back from the last.
        while (!evaluations.isEmpty()) {
            try (SavedBlocks last = evaluations.removeLast()) {
                last.backward();
            }
        }
    }

    private void check(String action) {
        if (closed || Thread.currentThread() != thread) {
            throw new IllegalStateException(action + ": this BlockTape "
                    + (closed ? "was closed" : "belongs to thread '" + thread.getName() + "': use it there"));
        }
    }

    /**
     * Frees the activations that no backward pass used.
     *
     * @throws IllegalStateException on another thread, or while a tape opened inside this one is open
     */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        check("close");
        if (INNERMOST.get() != this) {
            throw new IllegalStateException("close: a BlockTape opened inside this one is open: close it first");
        }
        closed = true;
        if (outer == null) {
            INNERMOST.remove();
        } else {
            INNERMOST.set(outer);
        }
        evaluations.forEach(SavedBlocks::close);
        evaluations.clear();
    }
}
