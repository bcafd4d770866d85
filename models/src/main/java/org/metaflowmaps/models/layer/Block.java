package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * A transformer block whose normalisations are shifted, scaled and gated by a conditioning vector (adaLN-Zero).
 *
 * @param heads of its attention
 * @param patch edge of the context's patches, under joint attention
 * @param joint true if tokens also attend to the context's
 * @param weights the block's own
 */
public record Block(int heads, int patch, boolean joint, Weights weights) {
    private static final double EPS = 1e-6;

    /**
     * One block.
     *
     * @param tokens (B, L, D)
     * @param condition SiLU of the conditioning vector, (B, D)
     * @param context the raw context state (B, C, H, W), looked at only under joint attention
     * @param positions (1, L, D), for the context's tokens
     */
    public Dual forward(Dual tokens, Dual condition, Dual context, Tensor positions) {
        try (TensorScope scope = TensorScope.open()) {
            Dual modulation = weights.exact(condition, "adaLN_modulation.1").unsqueeze(1);
            Dual[] m = modulation.chunk(joint ? 7 : 6, 2);
            Dual middle = tokens.addcmul(m[2], attended(tokens, m, context, positions));
            return middle.addcmul(m[5], mapped(middle, m)).keptFrom(scope);
        }
    }

    // Each half has a scope of its own: without a graph, a block's largest tensors are freed before the next are made.
    private Dual attended(Dual tokens, Dual[] m, Dual context, Tensor positions) {
        try (TensorScope scope = TensorScope.open()) {
            Attention attention = new Attention(heads);
            Dual input = modulated(tokens, m[0], m[1]);
            if (!joint) {
                return attention.forward(input, weights.in("attn")).keptFrom(scope);
            }
            Dual seen = Embeddings.patches(context, patch, weights.in("x_cond_embedder"))
                    .add(Dual.constant(positions));
            Dual gate = m[6].reshape(m[6].primal().size(0), 1, heads, input.primal().size(2) / heads);
            return attention.forward(input, seen, gate, weights.in("joint_attn")).keptFrom(scope);
        }
    }

    private Dual mapped(Dual middle, Dual[] m) {
        try (TensorScope scope = TensorScope.open()) {
            Dual hidden = weights.linear(modulated(middle, m[3], m[4]), "mlp.fc1").geluTanh();
            return weights.linear(hidden, "mlp.fc2").keptFrom(scope);
        }
    }

    /** LN(tokens)·(1 + scale) + shift. */
    public static Dual modulated(Dual tokens, Dual shift, Dual scale) {
        return shift.addcmul(tokens.layerNorm(EPS), scale.add(1));
    }
}
