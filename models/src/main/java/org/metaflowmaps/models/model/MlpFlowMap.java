package org.metaflowmaps.models.model;

import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.layer.Embeddings;
import org.metaflowmaps.models.layer.TimeSeries;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * A small residual network for data of a few dimensions: items have the shape (dimension).
 *
 * <p>Both states, three times and the label are each mapped into one hidden vector and added; residual blocks of two layers with
 * SiLU follow, whose inner units the times multiply by one plus a linear map, since gains that change with time are what posteriors
 * need. Times enter as a short series ({@link TimeSeries}). It has no guidance scales: whatever the context gives counts as 1.
 */
public final class MlpFlowMap implements MetaFlowMap {
    private final MlpConfig config;
    private final ParameterArena arena;
    private final Weights weights;
    private final TimeSeries series;

    private MlpFlowMap(MlpConfig config, Device device) {
        config.requireMemory(device);
        this.config = config;
        this.arena = new ParameterArena(shapes(config), device);
        this.weights = new Weights(arena, "");
        this.series = new TimeSeries(device);
    }

    /**
     * A network with zero weights, to be filled from a checkpoint.
     *
     * @param device where it lives
     * @return owned by the caller
     * @throws IllegalArgumentException if this machine has no memory for it
     */
    public static MlpFlowMap zeros(MlpConfig config, Device device) {
        return new MlpFlowMap(config, device);
    }

    /**
     * A network to train from scratch: hidden layers keep the scale of their inputs, the head is zero, so that it starts at
     * velocity 0.
     *
     * @param random where the weights are drawn, on the same device
     * @return owned by the caller
     * @throws IllegalArgumentException if this machine has no memory for it
     */
    public static MlpFlowMap initialised(MlpConfig config, Device device, RandomSource random) {
        MlpFlowMap network = new MlpFlowMap(config, device);
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
            // A series of a time has a mean square sum of Σ 1/k², less than 2, however many terms it has.
            double power = name.startsWith("x_") || name.startsWith("blocks.") ? parameter.size(1) : 2;
            double bound = Math.sqrt(3 / power);
            parameter.copy_(random.uniform(parameter.shape()).mul(2 * bound).sub(bound));
        }
    }

    static Map<String, long[]> shapes(MlpConfig config) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
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

    /** Everything but the blocks. */
    static Map<String, long[]> outside(MlpConfig config) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        long width = config.width();
        linear(shapes, "x_embedder", config.dimension(), width);
        linear(shapes, "s_embedder", TimeSeries.TERMS, width);
        linear(shapes, "t_embedder", TimeSeries.TERMS, width);
        if (config.layout() == Layout.META_FLOW_MAP) {
            linear(shapes, "x_cond_embedder", config.dimension(), width);
            linear(shapes, "t_cond_embedder", TimeSeries.TERMS, width);
        }
        if (config.labelDim() > 0) {
            shapes.put("y_embedder.embedding_table.weight", new long[] {config.labelDim() + 1L, width});
        }
        linear(shapes, "final_layer.linear", width, config.dimension());
        return shapes;
    }

    /** One block, with a prefix before each name. */
    static Map<String, long[]> block(String prefix, long width) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        linear(shapes, prefix + "fc1", width, width);
        linear(shapes, prefix + "modulation", width, width);
        linear(shapes, prefix + "fc2", width, width);
        return shapes;
    }

    private static void linear(Map<String, long[]> shapes, String name, long in, long out) {
        shapes.put(name + ".weight", new long[] {out, in});
        shapes.put(name + ".bias", new long[] {out});
    }

    /** The shape of this network. */
    public MlpConfig config() {
        return config;
    }

    @Override
    public long[] itemShape() {
        return new long[] {config.dimension()};
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
    public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
        Inputs.check(this, start.primal(), end.primal(), state.primal(), context);
        try (TensorScope scope = TensorScope.open()) {
            Dual times = time(start, "s_embedder").add(time(end, "t_embedder"));
            Dual hidden = weights.exact(state, "x_embedder");
            if (isContextual()) {
                times = times.add(time(Dual.constant(context.time()), "t_cond_embedder"));
                hidden = hidden.add(weights.exact(context.dualState(), "x_cond_embedder"));
            }
            hidden = hidden.add(times);
            if (config.labelDim() > 0) {
                long batch = state.primal().size(0);
                hidden = hidden.add(Dual.constant(Embeddings.labels(context.condition().labels().orElse(null), batch, config.labelDim(), weights.in("y_embedder"))));
            }
            Dual condition = times.silu();
            for (int i = 0; i < config.depth(); i++) {
                Dual before = hidden;
                hidden = block(before, condition, weights.in("blocks." + i));
                // A pass that records no graph then holds what one block makes, not what all do.
                before.close();
            }
            return weights.exact(hidden.silu(), "final_layer.linear").keptFrom(scope);
        }
    }

    private static Dual block(Dual hidden, Dual condition, Weights weights) {
        try (TensorScope scope = TensorScope.open()) {
            Dual inner = weights.linear(hidden.silu(), "fc1");
            inner = inner.addcmul(inner, weights.exact(condition, "modulation"));
            return hidden.add(weights.linear(inner.silu(), "fc2")).keptFrom(scope);
        }
    }

    private Dual time(Dual time, String name) {
        return weights.exact(series.of(time), name);
    }

    @Override
    public void close() {
        arena.close();
        series.close();
    }
}
