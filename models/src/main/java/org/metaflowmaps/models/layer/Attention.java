package org.metaflowmaps.models.layer;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;

/** Multi-head self-attention over tokens (B, L, D), optionally also attending to the tokens of a context. */
record Attention(int heads) {
    private static final double EPS = 1e-6;

    Dual forward(Dual tokens, Weights weights) {
        Dual[] qkv = split(weights.linear(tokens, "qkv"), 3);
        Dual query = normalised(qkv[0], weights.find("q_norm.scale"));
        Dual key = normalised(qkv[1], weights.find("k_norm.scale"));
        return weights.linear(join(Dual.attention(query, key, qkv[2])), "proj");
    }

    /** Keys and values are the tokens' own and the context's; {@code gate} (B, 1, H, d) multiplies the context's values. */
    Dual forward(Dual tokens, Dual context, Dual gate, Weights weights) {
        Dual[] qkv = split(weights.linear(tokens, "qkv"), 3);
        Dual[] other = split(weights.linear(context, "kv_cond"), 2);
        Dual query = normalised(qkv[0], weights.find("q_norm.scale"));
        Dual key = normalised(qkv[1], weights.find("k_norm.scale"));
        Dual otherKey = normalised(other[0], weights.find("k_cond_norm.scale"));
        Dual otherValue = other[1].mul(gate.permute(0, 2, 1, 3));
        Dual mixed = Dual.attention(query, Dual.cat(2, key, otherKey), Dual.cat(2, qkv[2], otherValue));
        return weights.linear(join(mixed), "proj");
    }

    private static Dual normalised(Dual heads, @Nullable Tensor gain) {
        return gain == null ? heads : heads.rmsNorm(gain, EPS);
    }

    /** (B, L, parts · D) as parts of (B, H, L, d). */
    private Dual[] split(Dual joined, int parts) {
        long[] shape = joined.primal().shape();
        Dual[] split = joined.chunk(parts, 2);
        for (int i = 0; i < parts; i++) {
            split[i] = split[i].reshape(shape[0], shape[1], heads, shape[2] / parts / heads).transpose(1, 2);
        }
        return split;
    }

    /** (B, H, L, d) as (B, L, D). */
    private static Dual join(Dual split) {
        long[] shape = split.primal().shape();
        return split.transpose(1, 2).reshape(shape[0], shape[2], shape[1] * shape[3]);
    }
}
