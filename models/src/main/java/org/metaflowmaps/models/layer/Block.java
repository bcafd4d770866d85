package org.metaflowmaps.models.layer;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** A transformer block whose normalisations are shifted, scaled and gated by a conditioning vector (adaLN-Zero). */
public final class Block {
    static final double EPS = 1e-6;

    private final int heads;
    private final Linear modulation;
    private final @Nullable PatchEmbedding contextPatches;
    private final Attention attention;
    private final Linear first;
    private final Linear second;
    /** Of the backward pass by hand; null under joint attention, which has none. */
    private final @Nullable BlockLayers layers;

    private Block(int heads, @Nullable PatchEmbedding contextPatches, Attention attention, Weights weights) {
        this.heads = heads;
        this.modulation = weights.linear("adaLN_modulation.1");
        this.contextPatches = contextPatches;
        this.attention = attention;
        this.first = weights.linear("mlp.fc1");
        this.second = weights.linear("mlp.fc2");
        this.layers = contextPatches == null ? new BlockLayers(attention, weights) : null;
    }

    /**
     * Makes a block whose tokens attend to each other.
     *
     * @param heads of its attention
     * @param weights the block's weights
     */
    public static Block of(int heads, Weights weights) {
        return new Block(heads, null, Attention.of(heads, weights.in("attn")), weights);
    }

    /**
     * Makes a block whose tokens also attend to the context's.
     *
     * @param heads of its attention
     * @param patch edge of the context's patches
     * @param weights the block's weights
     */
    public static Block joint(int heads, int patch, Weights weights) {
        PatchEmbedding patches = new PatchEmbedding(patch, weights.in("x_cond_embedder"));
        return new Block(heads, patches, Attention.joint(heads, weights.in("joint_attn")), weights);
    }

    /**
     * Applies the block.
     *
     * @param tokens (B, L, D)
     * @param condition SiLU of the conditioning vector, (B, D)
     * @param context the raw context state (B, C, H, W), used only under joint attention
     * @param positions (1, L, D), for the context's tokens
     */
    public Dual forward(Dual tokens, Dual condition, Dual context, Tensor positions) {
        try (TensorScope scope = TensorScope.open()) {
            int parts = contextPatches == null ? 6 : 7;
            if (!Autograd.isRecording()) {
                Dual[] m = modulation.exact(condition).chunk(parts, 1);
                return fused(tokens, m, context, positions).keptFrom(scope);
            }
            Dual[] m = modulation.exact(condition).unsqueeze(1).chunk(parts, 2);
            Dual attended = attended(modulated(tokens, m[0], m[1]), m, context, positions);
            Dual middle = tokens.addcmul(m[2], attended);
            return middle.addcmul(m[5], mapped(modulated(middle, m[3], m[4]))).keptFrom(scope);
        }
    }

    /** The same without a gradient graph, for which there are kernels. Its largest tensors are freed early. */
    private Dual fused(Dual tokens, Dual[] m, Dual context, Tensor positions) {
        DType type = first.products();
        Dual input = FusedNorm.of(tokens, null, null, m[0], m[1], type).output();
        Dual attended = attended(input, m, context, positions);
        input.close();
        FusedNorm middle = FusedNorm.of(tokens, attended, m[2], m[3], m[4], type);
        attended.close();
        Dual mapped = mapped(middle.output());
        middle.output().close();
        return middle.sum().addcmul(m[5].unsqueeze(1), mapped);
    }

    /**
     * Applies the block without a gradient graph, except for the attention's own, and keeps what its backward pass needs.
     *
     * <p>Tangents are computed as by {@link #forward}; gradients do not flow through them.
     *
     * @param tokens (B, L, D), float32 or float64
     * @param condition SiLU of the conditioning vector, (B, D), of the same type
     * @return owned by the caller
     * @throws IllegalStateException if this block also attends to a context
     */
    public SavedBlock save(Dual tokens, Dual condition) {
        if (layers == null) {
            throw new IllegalStateException("a block with joint attention has no backward pass by hand");
        }
        return SavedBlock.of(layers, tokens, condition);
    }

    // A scope for each half: without a graph, its largest tensors are freed before the next half.
    private Dual attended(Dual input, Dual[] m, Dual context, Tensor positions) {
        try (TensorScope scope = TensorScope.open()) {
            if (contextPatches == null) {
                return attention.forward(input).keptFrom(scope);
            }
            Dual seen = contextPatches.forward(context).add(Dual.constant(positions));
            Dual gate =
                    m[6].reshape(m[6].primal().size(0), 1, heads, input.primal().size(2) / heads);
            return attention.forward(input, seen, gate).keptFrom(scope);
        }
    }

    private Dual mapped(Dual input) {
        try (TensorScope scope = TensorScope.open()) {
            return second.forward(first.geluTanh(input)).keptFrom(scope);
        }
    }

    /** LN(tokens)·(1 + scale) + shift. */
    public static Dual modulated(Dual tokens, Dual shift, Dual scale) {
        return shift.addcmul(tokens.layerNorm(EPS), scale.add(1));
    }
}
