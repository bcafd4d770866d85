package org.metaflowmaps.runtime;

import java.util.List;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.StableAbi;

/** Reverse-mode derivatives, and switches that turn recording off and on. */
public final class Autograd {
    /**
     * Read-locked by backward passes, which add to parameters' gradients; write-locked to replace those gradients' tensors,
     * because libtorch does not protect that from a backward pass of another thread.
     */
    static final ReadWriteLock ACCUMULATION = new ReentrantReadWriteLock();

    private Autograd() {}

    /** A switch that applies to its thread until it is closed; close on the same thread, inner ones first. */
    public static final class Mode implements AutoCloseable {
        private final boolean before;
        private final @Nullable InferenceMode inference;
        private final Thread thread = Thread.currentThread();
        private boolean closed;

        private Mode(boolean record, boolean inferenceOnly) {
            if (thread.isVirtual()) {
                throw new IllegalStateException(
                        "an Autograd.Mode was opened on a virtual thread: libtorch keeps it per thread of "
                                + "the operating system, so run tensor work on platform threads");
            }
            Handles.initialise();
            before = StableAbi.gradEnabled();
            inference = inferenceOnly ? new InferenceMode(true) : null;
            if (!inferenceOnly) {
                StableAbi.setGradEnabled(record);
            }
        }

        @Override
        public void close() {
            if (Thread.currentThread() != thread) {
                throw new IllegalStateException(
                        "this Autograd.Mode belongs to thread '" + thread.getName() + "': close it there");
            }
            if (!closed) {
                closed = true;
                if (inference != null) {
                    inference.close();
                } else {
                    StableAbi.setGradEnabled(before);
                }
            }
        }
    }

    /**
     * Records no operations for gradients until the result is closed, as {@code torch.no_grad()}; not on virtual
     * threads.
     */
    public static Mode noGrad() {
        return new Mode(false, false);
    }

    /** Inside a {@link #noGrad}, records operations until the result is closed, as {@code torch.enable_grad()}. */
    public static Mode enableGrad() {
        return new Mode(true, false);
    }

    /**
     * Turns off recording and tracking until the result is closed, as {@code torch.inference_mode()}; the fastest way
     * to run a network. Tensors made inside cannot take part in gradients later.
     */
    public static Mode inference() {
        return new Mode(false, true);
    }

    /** Returns true if operations are recorded for gradients on this thread. */
    public static boolean isRecording() {
        return StableAbi.gradEnabled();
    }

    /**
     * Returns the gradients of a scalar with respect to some tensors.
     *
     * @param output one element, with a gradient graph
     * @param inputs tensors that require gradients and that the output depends on
     * @return one tensor per input, of its shape, without a gradient graph, in the innermost open scope
     * @throws TensorException if the output does not depend on an input
     */
    public static List<Tensor> gradients(Tensor output, List<Tensor> inputs) {
        return products(output, inputs, null, false);
    }

    /**
     * Returns the product of a cotangent with the Jacobian of an output with respect to some tensors.
     *
     * @param output any shape, with a gradient graph
     * @param inputs tensors that require gradients and that the output depends on
     * @param cotangent the output's shape
     * @return one tensor per input, of its shape, without a gradient graph, in the innermost open scope
     * @throws TensorException if the output does not depend on an input
     */
    public static List<Tensor> gradients(Tensor output, List<Tensor> inputs, Tensor cotangent) {
        return products(output, inputs, Operands.present("gradients", "cotangent", cotangent), false);
    }

    /**
     * As {@link #gradients(Tensor, List, Tensor)}, but the result can be differentiated again
     * ({@code create_graph=True} in PyTorch). The output's graph is kept.
     *
     * @return one tensor per input, of its shape, with a gradient graph, in the innermost open scope
     * @throws TensorException if the output does not depend on an input
     */
    public static List<Tensor> gradientsWithGraph(Tensor output, List<Tensor> inputs, Tensor cotangent) {
        return products(output, inputs, Operands.present("gradientsWithGraph", "cotangent", cotangent), true);
    }

    private static List<Tensor> products(
            Tensor output, List<Tensor> inputs, @Nullable Tensor cotangent, boolean createGraph) {
        if (inputs.isEmpty()) {
            throw new IllegalArgumentException("gradients: no inputs were given");
        }
        TensorScope.innermost(); // throws before the graph is freed
        try (TensorVector outputs = Torch.vector(output);
                TensorVector wanted = Torch.vector(inputs.toArray(new Tensor[0]));
                TensorVector seeds = cotangent == null ? Torch.vector() : Torch.vector(cotangent)) {
            return List.of(Tensor.takeAll(torch.grad(outputs, wanted, seeds, Handles.UNSET, createGraph, false)));
        } catch (RuntimeException e) {
            throw TensorException.of("gradients", e, output);
        }
    }

    /**
     * Adds the gradients of a scalar into the gradient buffers of all leaves it depends on ({@link ParameterArena}).
     *
     * @param loss one element, with a gradient graph, which is freed
     */
    public static void backward(Tensor loss) {
        ACCUMULATION.readLock().lock();
        try (ThreadState call = ThreadState.enter(loss)) {
            loss.unwrap().backward();
        } catch (RuntimeException e) {
            throw TensorException.of("backward", e, loss);
        } finally {
            ACCUMULATION.readLock().unlock();
        }
    }

    /**
     * As {@link #backward(Tensor)}, for several outputs of any shape, in one pass through what their graphs share.
     *
     * @param outputs at least one, with gradient graphs, which are freed
     * @param cotangents the gradient with respect to each output, of its shape
     * @throws IllegalArgumentException if the lists are empty or of different lengths
     */
    public static void backward(List<Tensor> outputs, List<Tensor> cotangents) {
        accumulate("backward", outputs, cotangents, false);
    }

    /**
     * As {@link #backward(List, List)}, but keeps the graphs, for another pass through a part of them
     * ({@code retain_graph=True} in PyTorch).
     *
     * @throws IllegalArgumentException if the lists are empty or of different lengths
     */
    public static void backwardKeepingGraph(List<Tensor> outputs, List<Tensor> cotangents) {
        accumulate("backwardKeepingGraph", outputs, cotangents, true);
    }

    private static void accumulate(String action, List<Tensor> outputs, List<Tensor> cotangents, boolean keep) {
        Operands.present(action, "outputs", outputs);
        Operands.present(action, "cotangents", cotangents);
        if (outputs.isEmpty() || outputs.size() != cotangents.size()) {
            throw new IllegalArgumentException(action + ": " + outputs.size() + " outputs and " + cotangents.size()
                    + " cotangents: give at least one output, and one cotangent for each");
        }
        Tensor[] roots = outputs.toArray(new Tensor[0]);
        ACCUMULATION.readLock().lock();
        try (ThreadState call = ThreadState.enter(roots);
                TensorVector from = Torch.vector(roots);
                TensorVector seeds = Torch.vector(cotangents.toArray(new Tensor[0]));
                TensorVector everywhere = Torch.vector()) {
            torch.backward(from, seeds, keep ? Handles.SET : Handles.UNSET, false, everywhere);
        } catch (RuntimeException e) {
            throw TensorException.of(action, e, roots);
        } finally {
            ACCUMULATION.readLock().unlock();
        }
    }

    /**
     * Returns the sum of the gradients that backward passes have added to a leaf.
     *
     * @param leaf a tensor that requires gradients and has no graph
     * @return of the leaf's shape and shared with it, in the innermost open scope; null before the first gradient
     */
    public static @Nullable Tensor accumulated(Tensor leaf) {
        Operands.present("accumulated", "leaf", leaf);
        try (ThreadState call = ThreadState.enter(leaf)) {
            org.bytedeco.pytorch.Tensor gradient = leaf.unwrap().grad();
            return gradient.defined() ? Tensor.wrap(gradient) : null;
        }
    }
}
