package org.metaflowmaps.training.model;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * A small residual network for data of a few dimensions: items have the shape (dimension).
 *
 * <p>Both states, three times and the label are each mapped into one hidden vector and added; residual blocks of two layers with
 * SiLU follow. Times enter as a short cosine and sine series whose terms shrink with their frequency, so that derivatives
 * along time stay moderate. It has no guidance scales: whatever the context gives counts as 1.
 */
public final class MlpFlowMap implements MetaFlowMap {
    /** Terms of the series of a time: cos(kπτ)/k and sin(kπτ)/k for k from 1. */
    private static final int HARMONICS = 8;

    private final MlpConfig config;
    private final ParameterArena arena;
    private final Weights weights;
    private final Tensor frequencies;
    private final Tensor amplitudes;

    private MlpFlowMap(MlpConfig config, Device device) {
        this.config = config;
        this.arena = new ParameterArena(shapes(config), device);
        this.weights = new Weights(arena, "");
        float[] rates = new float[HARMONICS];
        float[] sizes = new float[2 * HARMONICS];
        for (int i = 0; i < HARMONICS; i++) {
            rates[i] = (float) (Math.PI * (i + 1));
            sizes[i] = 1f / (i + 1);
            sizes[HARMONICS + i] = sizes[i];
        }
        try (TensorScope scope = TensorScope.open()) {
            this.frequencies = Torch.of(rates, 1, HARMONICS).to(device).retain();
            this.amplitudes = Torch.of(sizes, 1, 2 * HARMONICS).to(device).retain();
        }
    }

    /**
     * A network with zero weights, to be filled from a checkpoint.
     *
     * @param device where it lives
     * @return owned by the caller
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
        } else if (name.endsWith(".weight") && !name.startsWith("final_layer.")) {
            // A series of a time has a mean square sum of Σ 1/k², less than 2, however many terms it has.
            double power = name.startsWith("x_") || name.startsWith("blocks.") ? parameter.size(1) : 2;
            double bound = Math.sqrt(3 / power);
            parameter.copy_(random.uniform(parameter.shape()).mul(2 * bound).sub(bound));
        }
    }

    private static Map<String, long[]> shapes(MlpConfig config) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        long width = config.width();
        for (String state : List.of("x_embedder", "x_cond_embedder")) {
            linear(shapes, state, config.dimension(), width);
        }
        for (String time : List.of("s_embedder", "t_embedder", "t_cond_embedder")) {
            linear(shapes, time, 2 * HARMONICS, width);
        }
        if (config.labelDim() > 0) {
            shapes.put("y_embedder.embedding_table.weight", new long[] {config.labelDim() + 1, width});
        }
        for (int i = 0; i < config.depth(); i++) {
            linear(shapes, "blocks." + i + ".fc1", width, width);
            linear(shapes, "blocks." + i + ".fc2", width, width);
        }
        linear(shapes, "final_layer.linear", width, config.dimension());
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
    public ParameterArena parameters() {
        return arena;
    }

    @Override
    public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
        Inputs.check(this, start.primal(), end.primal(), state.primal(), context);
        try (TensorScope scope = TensorScope.open()) {
            Dual hidden = weights.exact(state, "x_embedder")
                    .add(time(start, "s_embedder"))
                    .add(time(end, "t_embedder"))
                    .add(Dual.constant(embedded(context, state.primal().size(0))));
            for (int i = 0; i < config.depth(); i++) {
                Weights block = weights.in("blocks." + i);
                hidden = hidden.add(block.linear(block.linear(hidden.silu(), "fc1").silu(), "fc2"));
            }
            return weights.exact(hidden.silu(), "final_layer.linear").keptFrom(scope);
        }
    }

    /** The context as one hidden vector of each item (B, width). */
    private Tensor embedded(Context context, long batch) {
        Dual sum = time(Dual.constant(context.time()), "t_cond_embedder")
                .add(weights.exact(Dual.constant(context.state()), "x_cond_embedder"));
        return config.labelDim() == 0
                ? sum.primal()
                : sum.primal().add(Embeddings.labels(context.labels(), batch, config.labelDim(), weights.in("y_embedder")));
    }

    private Dual time(Dual time, String name) {
        Dual phase = time.unsqueeze(1).mul(Dual.constant(frequencies));
        Dual series = Dual.cat(1, phase.cos(), phase.sin()).mul(Dual.constant(amplitudes));
        return weights.exact(series, name);
    }

    @Override
    public void close() {
        arena.close();
        frequencies.close();
        amplitudes.close();
    }
}
