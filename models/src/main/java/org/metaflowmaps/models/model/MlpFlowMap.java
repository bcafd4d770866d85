package org.metaflowmaps.models.model;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.layer.LabelEmbedding;
import org.metaflowmaps.models.layer.Linear;
import org.metaflowmaps.models.layer.TimeSeries;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * A small residual network for data of a few dimensions: items have the shape (dimension).
 *
 * <p>Both states, three times and the label are mapped to hidden vectors, which are added. Residual blocks of two
 * layers with SiLU follow. Inside a block, units are multiplied by one plus a linear map of the times, because
 * posteriors need gains that depend on time. Times are embedded as a short series ({@link TimeSeries}). Guidance scales
 * are ignored.
 */
public final class MlpFlowMap implements MetaFlowMap {
    private final MlpConfig config;
    private final ParameterArena arena;
    private final TimeSeries series;
    private final Linear state;
    private final Linear start;
    private final Linear end;
    private final @Nullable Linear contextState;
    private final @Nullable Linear contextTime;
    private final @Nullable LabelEmbedding labels;
    private final List<Residual> blocks = new ArrayList<>();
    private final Linear head;

    /** Builds the network over an arena, which it owns. */
    private MlpFlowMap(MlpConfig config, ParameterArena arena) {
        this.config = config;
        this.arena = arena;
        this.series = new TimeSeries(arena.values().device());
        boolean contextual = config.layout() == Layout.META_FLOW_MAP;
        Weights weights = new Weights(arena, "");
        this.state = weights.linear("x_embedder");
        this.start = weights.linear("s_embedder");
        this.end = weights.linear("t_embedder");
        this.contextState = contextual ? weights.linear("x_cond_embedder") : null;
        this.contextTime = contextual ? weights.linear("t_cond_embedder") : null;
        this.labels = config.labelDim() > 0 ? new LabelEmbedding(config.labelDim(), weights.in("y_embedder")) : null;
        for (int i = 0; i < config.depth(); i++) {
            Weights block = weights.in("blocks." + i);
            blocks.add(new Residual(block.linear("fc1"), block.linear("modulation"), block.linear("fc2")));
        }
        this.head = weights.linear("final_layer.linear");
    }

    private MlpFlowMap(MlpConfig config, Device device) {
        this(config, new ParameterArena(shapes(config), device));
    }

    /**
     * Returns a network with zero weights, to load a checkpoint into.
     *
     * @param device its device
     * @return owned by the caller
     * @throws IllegalArgumentException if this machine has no memory for it
     */
    public static MlpFlowMap zeros(MlpConfig config, Device device) {
        config.requireMemory(device);
        return new MlpFlowMap(config, device);
    }

    @Override
    public MlpFlowMap boundTo(Tensor flat) {
        return new MlpFlowMap(config, arena.over(flat));
    }

    @Override
    public MlpFlowMap replica() {
        return new MlpFlowMap(config, arena.replica());
    }

    /**
     * Returns a network to train from scratch: hidden layers keep the scale of their inputs; the head is zero, so that
     * it starts at velocity 0.
     *
     * @param random draws the weights, on the same device
     * @return owned by the caller
     * @throws IllegalArgumentException if this machine has no memory for it
     */
    public static MlpFlowMap initialised(MlpConfig config, Device device, RandomSource random) {
        MlpFlowMap network = zeros(config, device);
        try (Autograd.Mode off = Autograd.noGrad()) {
            network.arena.parameters().forEach((name, parameter) -> {
                try (TensorScope scope = TensorScope.open()) {
                    initialise(name, parameter, random);
                }
            });
        }
        return network;
    }

    private static void initialise(String name, Tensor parameter, RandomSource random) {
        if (name.startsWith("y_embedder.")) {
            parameter.copy_(random.normal(parameter.shape()));
        } else if (name.endsWith(".weight") && !name.startsWith("final_layer.") && !name.contains(".modulation.")) {
            // The mean square sum of a time series is Σ 1/k², less than 2 for any number of terms.
            double power = name.startsWith("x_") || name.startsWith("blocks.") ? parameter.size(1) : 2;
            double bound = Math.sqrt(3 / power);
            parameter.copy_(random.uniform(parameter.shape()).mul(2 * bound).sub(bound));
        }
    }

    static Map<String, Shape> shapes(MlpConfig config) {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        outside(config).forEach((name, shape) -> {
            if (!name.startsWith("final_layer.")) {
                shapes.put(name, shape);
            }
        });
        for (int i = 0; i < config.depth(); i++) {
            shapes.putAll(block("blocks." + i + ".", config.width()));
        }
        linear(shapes, "final_layer.linear", config.width(), config.dimension());
        return shapes;
    }

    /** Returns the shapes of everything except the blocks. */
    static Map<String, Shape> outside(MlpConfig config) {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        long width = config.width();
        linear(shapes, "x_embedder", config.dimension(), width);
        linear(shapes, "s_embedder", TimeSeries.TERMS, width);
        linear(shapes, "t_embedder", TimeSeries.TERMS, width);
        if (config.layout() == Layout.META_FLOW_MAP) {
            linear(shapes, "x_cond_embedder", config.dimension(), width);
            linear(shapes, "t_cond_embedder", TimeSeries.TERMS, width);
        }
        if (config.labelDim() > 0) {
            shapes.put("y_embedder.embedding_table.weight", Shape.of(config.labelDim() + 1L, width));
        }
        linear(shapes, "final_layer.linear", width, config.dimension());
        return shapes;
    }

    /** Returns the shapes of one block, with a prefix before each name. */
    static Map<String, Shape> block(String prefix, long width) {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        linear(shapes, prefix + "fc1", width, width);
        linear(shapes, prefix + "modulation", width, width);
        linear(shapes, prefix + "fc2", width, width);
        return shapes;
    }

    private static void linear(Map<String, Shape> shapes, String name, long in, long out) {
        shapes.put(name + ".weight", Shape.of(out, in));
        shapes.put(name + ".bias", Shape.of(out));
    }

    /** The shape of this network. */
    public MlpConfig config() {
        return config;
    }

    @Override
    public Shape itemShape() {
        return Shape.of(config.dimension());
    }

    @Override
    public int classes() {
        return config.labelDim();
    }

    @Override
    public boolean isContextual() {
        return config.layout() == Layout.META_FLOW_MAP;
    }

    @Override
    public ParameterArena parameters() {
        return arena;
    }

    @Override
    @SuppressWarnings("exports")
    public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
        Inputs.check(this, start.primal(), end.primal(), state.primal(), context);
        return BatchParts.evaluate(2.0 * arena.count(), this::evaluate, start, end, state, context);
    }

    private Dual evaluate(Dual start, Dual end, Dual state, Context context) {
        try (TensorScope scope = TensorScope.open()) {
            Dual times = this.start.exact(series.of(start)).add(this.end.exact(series.of(end)));
            Dual hidden = this.state.exact(state);
            if (contextState != null && contextTime != null) {
                times = times.add(contextTime.exact(series.of(Dual.constant(context.time()))));
                hidden = hidden.add(contextState.exact(context.dualState()));
            }
            hidden = hidden.add(times);
            if (labels != null) {
                hidden = hidden.add(labels.forward(
                        context.condition().labels(), state.primal().size(0)));
            }
            Dual condition = times.silu();
            for (Residual block : blocks) {
                Dual before = hidden;
                hidden = block.forward(before, condition);
                // Without a graph only one block's results stay in memory.
                before.close();
            }
            return head.exact(hidden.silu()).keptFrom(scope);
        }
    }

    /** A residual block of two layers. */
    private record Residual(Linear first, Linear modulation, Linear second) {
        Dual forward(Dual hidden, Dual condition) {
            try (TensorScope scope = TensorScope.open()) {
                Dual inner = first.forward(hidden.silu());
                inner = inner.addcmul(inner, modulation.exact(condition));
                return hidden.add(second.forward(inner.silu())).keptFrom(scope);
            }
        }
    }

    @Override
    public void close() {
        arena.close();
        series.close();
    }
}
