package org.metaflowmaps.models.model;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.layer.Block;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.kernel.GatedNorm;

/**
 * Gradients of a loss with transformer blocks computed by hand instead of by libtorch's graph, which stores about twice
 * the activations.
 *
 * <p>While a tape is open, this thread's evaluations of a {@link FlowMapTransformer} that record gradients store their
 * blocks' activations on it: only those without joint attention and without gradients through tangents, and either the
 * weights or the inputs require gradients, not both; for inputs only on a GPU that has kernels for blocks.
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
    /** Several backward passes go through the graphs of inputs that vary, so the first one must not free them. */
    private boolean keepsGraphs;

    private boolean closed;
    private final boolean anywhere;

    private BlockTape(boolean anywhere) {
        this.anywhere = anywhere;
    }

    /** Opens a tape for this thread's evaluations until it is closed. */
    public static BlockTape open() {
        return opened(false);
    }

    /** Opens a tape that also stores frozen networks' evaluations where there are no kernels, to test them. */
    static BlockTape openAnywhere() {
        return opened(true);
    }

    private static BlockTape opened(boolean anywhere) {
        BlockTape tape = new BlockTape(anywhere);
        INNERMOST.set(tape);
        return tape;
    }

    /**
     * Returns the tape for an evaluation of which either the weights vary, or only the inputs; null to record its
     * graph.
     */
    static @Nullable BlockTape of(boolean frozen, Dual start, Dual end, Dual state, Context context) {
        BlockTape tape = INNERMOST.get();
        if (tape == null || !Autograd.isRecording() || context.time().requiresGrad()) {
            return null;
        }
        boolean varies = false;
        for (Dual input : List.of(start, end, state, context.dualState())) {
            if (input.isThrough()) {
                return null;
            }
            varies |= input.primal().requiresGrad();
        }
        // Weights and inputs together would need each weight's gradient for each input's. Graphs of frozen weights
        // keep no operands for gradients of weights, so a tape has less work only by its kernels.
        if (varies != frozen
                || (varies && !tape.anywhere && !GatedNorm.on(state.primal()).hasKernels())) {
            return null;
        }
        tape.keepsGraphs |= varies;
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
        Objects.requireNonNull(loss, "loss is null");
        if (keepsGraphs) {
            try (TensorScope scope = TensorScope.open()) {
                Autograd.backwardKeepingGraph(List.of(loss), List.of(Torch.onesLike(loss)));
            }
        } else {
            Autograd.backward(loss);
        }
        // Later evaluations may use results of earlier ones, so go back from the last.
        while (!evaluations.isEmpty()) {
            try (SavedBlocks last = evaluations.removeLast()) {
                last.backward(keepsGraphs);
            }
        }
    }

    /**
     * Returns the gradient of a loss with respect to an input of frozen networks; weights that are not frozen may get
     * gradients too.
     *
     * @param loss one element, with a gradient graph, computed on this thread under this tape
     * @param leaf a tensor without graph that requires gradients and has none yet, on which the loss depends
     * @return of the leaf's shape, in the innermost open scope
     * @throws IllegalStateException on another thread, or after {@link #close}
     */
    public Tensor gradient(Tensor loss, Tensor leaf) {
        check("gradient");
        Objects.requireNonNull(leaf, "leaf is null");
        if (evaluations.isEmpty()) {
            return Autograd.gradients(Objects.requireNonNull(loss, "loss is null"), List.of(leaf))
                    .getFirst();
        }
        Preconditions.checkArgument(
                Autograd.accumulated(leaf) == null, "gradient: the leaf has a gradient already: detach it first");
        backward(loss);
        Tensor gradient = Autograd.accumulated(leaf);
        Preconditions.checkArgument(
                gradient != null, "gradient: the loss does not depend on the leaf %s: compute it from the leaf", leaf);
        return gradient;
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
