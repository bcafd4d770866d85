package org.metaflowmaps.models.model;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.layer.Block;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.layer.Embeddings;
import org.metaflowmaps.models.layer.LabelEmbedding;
import org.metaflowmaps.models.layer.Linear;
import org.metaflowmaps.models.layer.PatchEmbedding;
import org.metaflowmaps.models.layer.TimeEmbedding;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.ProfilerRange;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The diffusion transformer of meta flow maps: three times, two states, labels and a guidance scale. A first stage of
 * blocks gets the start time, a second stage the end time. Parameter names are those of the public checkpoints.
 */
public final class FlowMapTransformer implements MetaFlowMap {
    private final TransformerConfig config;
    private final ParameterArena arena;
    private final Tensor frequencies;
    private final Tensor positions;
    private final PatchEmbedding patches;
    private final LabelEmbedding labels;
    private final TimeEmbedding start;
    private final TimeEmbedding end;
    private final @Nullable ContextLayers contextLayers;
    private final List<Block> blocks = new ArrayList<>();
    private final Linear headModulation;
    private final Linear head;

    /** Builds the network over an arena; it owns the arena and the two tables. */
    private FlowMapTransformer(TransformerConfig config, ParameterArena arena, Tensor frequencies, Tensor positions) {
        this.config = config;
        this.arena = arena;
        this.frequencies = frequencies;
        this.positions = positions;
        boolean contextual = config.layout() == Layout.META_FLOW_MAP;
        Weights weights = new Weights(arena, "");
        this.patches = new PatchEmbedding(config.patchSize(), weights.in("x_embedder"));
        this.labels = new LabelEmbedding(config.labelDim(), weights.in("y_embedder"));
        this.end = new TimeEmbedding(frequencies, weights.in("t_embedder"));
        this.start = contextual ? new TimeEmbedding(frequencies, weights.in("s_embedder")) : end;
        this.contextLayers = contextual ? new ContextLayers(config, frequencies, weights) : null;
        for (int i = 0; i < config.depth(); i++) {
            Weights own = weights.in("blocks." + i);
            blocks.add(
                    config.jointAttention()
                            ? Block.joint(config.numHeads(), config.patchSize(), own)
                            : Block.of(config.numHeads(), own));
        }
        this.headModulation = weights.linear("final_layer.adaLN_modulation.1");
        this.head = weights.linear("final_layer.linear");
    }

    /**
     * Returns a network with zero weights, to load a checkpoint into.
     *
     * @param device its device
     * @return owned by the caller
     * @throws IllegalArgumentException if this machine has no memory for it
     */
    public static FlowMapTransformer zeros(TransformerConfig config, Device device) {
        return zeros(config, device, DType.FLOAT32);
    }

    /**
     * Returns a network with zero weights that computes in float32 or float64; sinusoids of times are always float32,
     * as in the public checkpoints.
     *
     * @param device its device
     * @param type of weights, inputs and results: float32 or float64
     * @return owned by the caller
     * @throws IllegalArgumentException for another type
     */
    public static FlowMapTransformer zeros(TransformerConfig config, Device device, DType type) {
        config.requireMemory(device);
        ParameterArena arena = new ParameterArena(TransformerLayout.shapes(config), device, type);
        try (TensorScope scope = TensorScope.open()) {
            float[] table = Embeddings.positions(config.grid(), config.hiddenSize());
            Tensor positions = Torch.of(table, 1, config.tokens(), config.hiddenSize())
                    .to(type)
                    .to(device)
                    .retain();
            return new FlowMapTransformer(config, arena, Embeddings.frequencies(device), positions);
        }
    }

    @Override
    public FlowMapTransformer boundTo(Tensor flat) {
        return over(arena.over(flat));
    }

    @Override
    public FlowMapTransformer replica() {
        return over(arena.replica());
    }

    private FlowMapTransformer over(ParameterArena bound) {
        Tensor flat = bound.values();
        DType type = flat.dtype() == DType.BFLOAT16 ? DType.FLOAT32 : flat.dtype();
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            return new FlowMapTransformer(
                    config,
                    bound,
                    frequencies.to(flat.device()).detach().retain(),
                    positions.to(type).to(flat.device()).detach().retain());
        }
    }

    /**
     * Returns a network to train from scratch: Xavier-uniform linear layers, zero modulations and head, so that it
     * starts at velocity 0.
     *
     * @param random draws the weights
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
    public Shape itemShape() {
        return Shape.of(config.inChannels(), config.inputSize(), config.inputSize());
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
    @SuppressWarnings("exports")
    public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
        Inputs.check(this, start.primal(), end.primal(), state.primal(), context);
        double work = 2.0 * arena.count() * config.tokens();
        return BatchParts.evaluate(work, this::evaluate, start, end, state, context);
    }

    private Dual evaluate(Dual start, Dual end, Dual state, Context context) {
        try (TensorScope scope = TensorScope.open()) {
            Dual from = config.zeroData() ? start.mul(-1).add(1) : start;
            Dual to = config.zeroData() ? end.mul(-1).add(1) : end;
            long batch = state.primal().size(0);
            Dual label = labels.forward(context.condition().labels(), batch);
            Dual tokens = patches.forward(state).add(Dual.constant(positions));
            Dual first;
            Dual second;
            if (contextLayers != null) {
                Dual contextTime = contextLayers.time(context);
                Dual shared = contextTime.add(label);
                Dual guidance = contextLayers.guidance(context, batch);
                first = this.start
                        .forward(from)
                        .add(this.end.forward(to))
                        .add(shared)
                        .add(guidance)
                        .silu();
                second = contextLayers.secondTimes(from, to).add(shared).silu();
                tokens = tokens.add(contextLayers.tokens(context, contextTime));
            } else {
                first = this.start.forward(from).add(label).silu();
                second = this.end.forward(to).add(label).silu();
            }
            BlockTape tape = config.jointAttention() || blocks.isEmpty()
                    ? null
                    : BlockTape.of(arena.isFrozen(), start, end, state, context);
            if (tape != null) {
                SavedBlocks saved = tape.apply(blocks, config.encoderDepth(), tokens, first, second);
                tokens = saved.tokens();
                second = saved.headCondition();
            } else {
                tokens = blocks(tokens, first, second, context);
            }
            Dual[] modulation = headModulation.exact(second).unsqueeze(1).chunk(2, 2);
            Dual output = head.exact(Block.modulated(tokens, modulation[0], modulation[1]));
            Dual image = Embeddings.unpatch(output, config.grid(), config.patchSize(), config.outChannels());
            if (config.learnSigma()) {
                image = image.narrow(1, 0, config.inChannels());
            }
            return (config.zeroData() ? image.mul(-1) : image).keptFrom(scope);
        }
    }

    private Dual blocks(Dual embedded, Dual first, Dual second, Context context) {
        Dual tokens = embedded;
        for (int i = 0; i < config.depth(); i++) {
            Dual before = tokens;
            try (ProfilerRange range = ProfilerRange.layer("block", i)) {
                tokens = blocks.get(i)
                        .forward(before, i < config.encoderDepth() ? first : second, context.dualState(), positions);
            }
            // Without a graph only one block's tokens stay in memory.
            before.close();
        }
        return tokens;
    }

    @Override
    public void close() {
        arena.close();
        frequencies.close();
        positions.close();
    }
}
