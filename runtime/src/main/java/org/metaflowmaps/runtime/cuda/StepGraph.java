package org.metaflowmaps.runtime.cuda;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.ComputeStream;
import org.metaflowmaps.bindings.CudaAllocator;
import org.metaflowmaps.bindings.CudaGraphs;
import org.metaflowmaps.bindings.GraphPool;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ProfilerRange;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs steps of the same work many times. On a GPU a step is captured as a CUDA graph after a few runs and then replayed by
 * one call instead of a thousand launches; on the CPU, or if CUDA refuses the capture, it runs as it is. Results are the
 * same either way. Graphs of one object share their memory, so that they need no more than the largest of them, besides
 * their inputs and results.
 *
 * <p>A step depends only on its inputs, on tensors that stay at their addresses, such as weights, and on its key. It draws
 * no random numbers, reads nothing back, moves nothing between devices, and returns tensors without a gradient graph. A
 * refusal frees everything, each reason is logged once, and that key runs uncaptured from then on.
 *
 * <p>Thread safety: one thread at a time, the one that made it. While it captures a step, no other
 * thread may use the same GPU, because all threads share its stream. Close it before the tensors that its steps use.
 */
public final class StepGraph implements AutoCloseable {
    /** Runs before a capture, in which libraries make their workspaces, outside the graph's memory. */
    static final int WARM_UP = 3;

    private static final Logger LOG = LoggerFactory.getLogger(StepGraph.class);

    /** The work of a step. */
    @FunctionalInterface
    public interface Step {
        /**
         * Runs the step.
         *
         * @param inputs of the same shapes, types and order as those given to {@link StepGraph#run}
         * @return the results, in the innermost open scope
         */
        List<Tensor> run(List<Tensor> inputs);
    }

    /** What must be equal for a graph to be replayed. */
    private record Key(Object what, List<Shape> shapes, List<DType> types) {
        static Key of(Object what, List<Tensor> inputs) {
            return new Key(
                    what,
                    inputs.stream().map(Tensor::shape).toList(),
                    inputs.stream().map(Tensor::dtype).toList());
        }
    }

    /** A key's runs so far, and its graph. */
    private static final class Entry {
        private int runs;
        private boolean refused;
        private @Nullable Captured graph;

        void close() {
            if (graph != null) {
                graph.close();
                graph = null;
            }
        }
    }

    /** A graph, its memory, and the tensors at its fixed addresses. */
    private record Captured(
            CudaGraphs.Executable executable, GraphPool pool, List<Tensor> inputs, List<Tensor> results) {
        void close() {
            CudaGraphs.destroy(executable);
            inputs.forEach(Tensor::close);
            results.forEach(Tensor::close);
            pool.close();
        }
    }

    private final Device device;
    private final long stream;
    private final int most;
    private final Map<Key, Entry> entries = new LinkedHashMap<>(16, 0.75f, true);
    private final Optional<String> impossible;
    private final Thread thread = Thread.currentThread();
    private @Nullable String refusal;
    /** Of refusals, as logged. */
    private final Set<String> reasons = new HashSet<>();

    private long captures;

    /**
     * Makes an empty cache of graphs.
     *
     * @param device of the steps' tensors
     * @param most graphs kept at the same time, at least 1; the least recently used one is freed first
     */
    public StepGraph(Device device, int most) {
        Preconditions.checkArgument(most >= 1, "step graph: %s graphs at most, expected at least 1", most);
        this.device = device.available();
        this.most = most;
        boolean gpu = device.type() == Device.Type.CUDA;
        this.stream = gpu ? ComputeStream.of(device.index()) : 0;
        this.impossible = gpu ? GraphPool.missing() : Optional.empty();
        impossible.ifPresent(this::refuse);
    }

    /**
     * Runs a step, captured if possible.
     *
     * @param what identifies the step among those of this object, with every setting that it depends on; compared by
     *     {@code equals}
     * @param inputs on this object's device, not owned
     * @param step the work; called on this thread
     * @return the step's results, new tensors in the innermost open scope
     */
    public synchronized List<Tensor> run(Object what, List<Tensor> inputs, Step step) {
        Preconditions.checkState(
                Thread.currentThread().equals(thread),
                "step graph: made on thread '%s' and used on another: give each thread its own",
                thread.getName());
        Preconditions.checkNotNull(what, "step graph: what is null, expected the identity of the step");
        Preconditions.checkNotNull(step, "step graph: the step is null");
        if (device.type() == Device.Type.CPU || impossible.isPresent()) {
            return step.run(inputs);
        }
        Entry entry = entries.computeIfAbsent(Key.of(what, inputs), key -> new Entry());
        evict();
        if (entry.graph == null && !entry.refused && entry.runs++ >= WARM_UP) {
            // One capture at a time: its flag is one for the process.
            synchronized (StepGraph.class) {
                entry.graph = capture(inputs, step);
            }
            entry.refused = entry.graph == null;
        }
        return entry.graph == null ? step.run(inputs) : replay(entry.graph, inputs);
    }

    private void evict() {
        if (entries.size() > most) {
            Map.Entry<Key, Entry> eldest = entries.entrySet().iterator().next();
            eldest.getValue().close();
            entries.remove(eldest.getKey());
        }
    }

    private List<Tensor> replay(Captured graph, List<Tensor> inputs) {
        try (TensorScope scope = TensorScope.open();
                ProfilerRange range = ProfilerRange.open("replay");
                Autograd.Mode off = Autograd.noGrad()) {
            for (int i = 0; i < inputs.size(); i++) {
                graph.inputs.get(i).copy_(inputs.get(i));
            }
            CudaGraphs.launch(graph.executable, stream);
            // Copies, because the next replay overwrites the graph's own results.
            return graph.results.stream()
                    .map(result -> scope.keep(result.clone()))
                    .toList();
        }
    }

    /** Captures a step; null if CUDA or libtorch refuses. */
    private @Nullable Captured capture(List<Tensor> inputs, Step step) {
        List<Tensor> own = new ArrayList<>();
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            inputs.forEach(input -> own.add(input.detach().clone().retain()));
        }
        List<Tensor> results = new ArrayList<>();
        // The memory of the runs before, which the graph's pool cannot use.
        GraphPool pool;
        try {
            CudaAllocator.emptyCache();
            pool = GraphPool.begin(device.index(), stream, shared());
        } catch (RuntimeException | Error e) {
            own.forEach(Tensor::close);
            throw e;
        }
        String reason;
        try {
            CudaGraphs.begin(stream);
            pool.captureBegun();
            ComputeStream.setCapturing(true);
            try (TensorScope scope = TensorScope.open()) {
                step.run(List.copyOf(own)).forEach(result -> results.add(result.retain()));
            } catch (RuntimeException | Error e) {
                results.forEach(Tensor::close);
                results.clear();
                CudaGraphs.abandon(stream);
                throw e;
            } finally {
                ComputeStream.setCapturing(false);
            }
            CudaGraphs.Executable executable = CudaGraphs.end(stream);
            try {
                pool.end();
            } catch (RuntimeException e) {
                CudaGraphs.destroy(executable);
                throw e;
            }
            captures++;
            LOG.debug("step graph: captured {} operations", executable.nodes());
            return new Captured(executable, pool, own, results);
        } catch (RuntimeException e) {
            reason = String.valueOf(e.getMessage());
        } catch (Error e) {
            discard(results, own, pool);
            throw e;
        }
        discard(results, own, pool);
        refuse(reason);
        return null;
    }

    private static void discard(List<Tensor> results, List<Tensor> own, GraphPool pool) {
        results.forEach(Tensor::close);
        own.forEach(Tensor::close);
        pool.close();
    }

    /** Returns a pool that the graphs share, because each runs alone and its results are copied at once; null if none. */
    private @Nullable GraphPool shared() {
        for (Entry entry : entries.values()) {
            if (entry.graph != null) {
                return entry.graph.pool;
            }
        }
        return null;
    }

    private void refuse(String reason) {
        String first = reason.lines().findFirst().orElse("");
        // Numbers differ each time, such as those of a lack of memory.
        if (reasons.add(first.replaceAll("\\d", ""))) {
            LOG.warn("warning: a step cannot be captured as a CUDA graph and runs without: {}", first);
        }
        refusal = first;
    }

    /** Returns true while this thread captures a step, so that nothing can be read back. */
    public static boolean isCapturing() {
        return ComputeStream.isCapturing();
    }

    /** Returns the number of graphs captured so far. */
    public long captures() {
        return captures;
    }

    /** Returns the number of operations in all graphs kept now. */
    public synchronized long nodes() {
        long sum = 0;
        for (Entry entry : entries.values()) {
            sum += entry.graph == null ? 0 : entry.graph.executable.nodes();
        }
        return sum;
    }

    /** Returns why the last refused capture was refused; empty if none was. */
    public Optional<String> refusal() {
        return Optional.ofNullable(refusal);
    }

    /** Frees all graphs and their memory, after a step that runs meanwhile on another thread. */
    @Override
    public synchronized void close() {
        entries.values().forEach(Entry::close);
        entries.clear();
    }
}
