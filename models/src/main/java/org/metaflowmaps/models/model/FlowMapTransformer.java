package org.metaflowmaps.models.model;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.models.layer.Block;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.layer.Embeddings;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The diffusion transformer of meta flow maps: three times, two states, labels and a guidance scale, with its depth split into a
 * stage that sees the start time and one that sees the end time. Parameter names are those of the public checkpoints.
 */
public final class FlowMapTransformer implements MetaFlowMap {
    private final TransformerConfig config;
    private final ParameterArena arena;
    private final Weights weights;
    private final Tensor frequencies;
    private final Tensor positions;

    private FlowMapTransformer(TransformerConfig config, Device device, DType type) {
        config.requireMemory(device);
        this.config = config;
        this.arena = new ParameterArena(TransformerLayout.shapes(config), device, type);
        this.weights = new Weights(arena, "");
        this.frequencies = Embeddings.frequencies(device);
        try (TensorScope scope = TensorScope.open()) {
            this.positions = Torch.of(Embeddings.positions(config.grid(), config.hiddenSize()), 1, config.tokens(),
                    config.hiddenSize())
                    .to(type).to(device).retain();
        }
    }

    /**
     * A network with zero weights, to be filled from a checkpoint.
     *
     * @param device where it lives
     * @return owned by the caller
     * @throws IllegalArgumentException if this machine has no memory for it
     */
    public static FlowMapTransformer zeros(TransformerConfig config, Device device) {
        return zeros(config, device, DType.FLOAT32);
    }

    /**
     * A network with zero weights that computes in float32 or float64; only the sinusoids of times are float32 in both, as in the
     * public checkpoints.
     *
     * @param device where it lives
     * @param type of weights, inputs and results: float32 or float64
     * @return owned by the caller
     * @throws IllegalArgumentException for another type
     */
    public static FlowMapTransformer zeros(TransformerConfig config, Device device, DType type) {
        return new FlowMapTransformer(config, device, type);
    }

    /**
     * A network to train from scratch: Xavier-uniform linear layers, zero modulations and head, so that it starts at velocity 0.
     *
     * @param random where the weights are drawn
     * @return owned by the caller
     */
    public static FlowMapTransformer initialised(TransformerConfig config, Device device, RandomSource random) {
        FlowMapTransformer network = zeros(config, device);
        TransformerLayout.initialise(network.arena, random);
        return network;
    }

    /** The shape of this network. */
    public TransformerConfig config() {
        return config;
    }

    @Override
    public long[] itemShape() {
        return new long[] {config.inChannels(), config.inputSize(), config.inputSize()};
    }

    @Override
    public int classes() {
        return config.labelDim();
    }

    @Override
    public List<Double> guidanceScales() {
        return isContextual() ? config.allowedScales() : List.of();
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
    public Map<String, Tensor> buffers() {
        Map<String, Tensor> buffers = new LinkedHashMap<>();
        buffers.put("pos_embed", positions);
        for (int i = 0; config.jointAttention() && i < config.depth(); i++) {
            buffers.put("blocks." + i + ".pos_embed", positions);
        }
        return buffers;
    }

    @Override
    public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
        Inputs.check(this, start.primal(), end.primal(), state.primal(), context);
        try (TensorScope scope = TensorScope.open()) {
            Dual from = config.zeroData() ? start.mul(-1).add(1) : start;
            Dual to = config.zeroData() ? end.mul(-1).add(1) : end;
            long batch = state.primal().size(0);
            Dual label = Dual.constant(Embeddings.labels(context.condition().labels().orElse(null), batch, config.labelDim(), weights.in("y_embedder")));
            Dual tokens = Embeddings.patches(state, config.patchSize(), weights.in("x_embedder")).add(Dual.constant(positions));
            Dual first;
            Dual second;
            if (isContextual()) {
                Dual contextTime = time(Dual.constant(context.time()), "t_cond_embedder");
                Dual shared = contextTime.add(label);
                Dual guidance = Dual.constant(Embeddings.guidance(context.condition().guidance().orElse(null), batch, config.allowedScales(),
                        weights.in("guidance_embedder")));
                first = time(from, "s_embedder").add(time(to, "t_embedder")).add(shared).add(guidance).silu();
                second = time(from, "s_embedder_second").add(time(to, "t_embedder_second")).add(shared).silu();
                tokens = tokens.add(contextTokens(context, contextTime));
            } else {
                first = time(from, "t_embedder").add(label).silu();
                second = time(to, "t_embedder").add(label).silu();
            }
            for (int i = 0; i < config.depth(); i++) {
                Block block = new Block(config.numHeads(), config.patchSize(), config.jointAttention(), weights.in("blocks." + i));
                Dual before = tokens;
                tokens = block.forward(before, i < config.encoderDepth() ? first : second, context.dualState(), positions);
                // A pass that records no graph then holds the tokens of one block, not of all.
                before.close();
            }
            Weights head = weights.in("final_layer");
            Dual[] modulation = head.exact(second, "adaLN_modulation.1").unsqueeze(1).chunk(2, 2);
            Dual output = head.exact(Block.modulated(tokens, modulation[0], modulation[1]), "linear");
            Dual image = Embeddings.unpatch(output, config.grid(), config.patchSize(), config.outChannels());
            if (config.learnSigma()) {
                image = image.narrow(1, 0, config.inChannels());
            }
            return (config.zeroData() ? image.mul(-1) : image).keptFrom(scope);
        }
    }

    private Dual time(Dual time, String name) {
        return Embeddings.time(time, frequencies, weights.in(name));
    }

    /** The context's tokens (B, L, D), scaled and shifted by its time. */
    private Dual contextTokens(Context context, Dual embeddedTime) {
        Dual tokens = Embeddings.patches(context.dualState(), config.patchSize(), weights.in("x_cond_embedder"));
        Dual[] modulation = weights.exact(embeddedTime.silu(), "x_cond_adaLN.1").unsqueeze(1).chunk(2, 2);
        Dual shift = modulation[0];
        Dual scale = modulation[1];
        if (config.preserveContextAtZero()) {
            Dual time = Dual.constant(MetaFlowMap.perItem(context.time(), tokens.primal()));
            shift = shift.mul(time);
            scale = scale.mul(time).add(-1);
        }
        return shift.addcmul(tokens, scale.add(1));
    }

    @Override
    public void close() {
        arena.close();
        frequencies.close();
        positions.close();
    }
}
