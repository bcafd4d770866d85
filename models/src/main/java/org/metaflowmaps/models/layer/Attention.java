package org.metaflowmaps.models.layer;

import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;

/** Multi-head self-attention over tokens (B, L, D), optionally also attending to the tokens of a context. */
final class Attention {
    private static final double EPS = 1e-6;

    private final int heads;
    private final Linear qkv;
    private final @Nullable Linear contextKv;
    private final Linear projection;
    private final @Nullable Tensor queryGain;
    private final @Nullable Tensor keyGain;
    private final @Nullable Tensor contextKeyGain;

    private Attention(int heads, @Nullable Linear contextKv, Weights weights) {
        this.heads = heads;
        this.qkv = weights.linear("qkv");
        this.contextKv = contextKv;
        this.projection = weights.linear("proj");
        this.queryGain = orNull(weights.find("q_norm.scale"));
        this.keyGain = orNull(weights.find("k_norm.scale"));
        this.contextKeyGain = orNull(weights.find("k_cond_norm.scale"));
    }

    /** Makes attention of tokens to each other. */
    static Attention of(int heads, Weights weights) {
        return new Attention(heads, null, weights);
    }

    /** Makes attention of tokens to each other and to those of a context. */
    static Attention joint(int heads, Weights weights) {
        return new Attention(heads, weights.linear("kv_cond"), weights);
    }

    private static @Nullable Tensor orNull(Optional<Tensor> gain) {
        return gain.orElse(null);
    }

    Dual forward(Dual tokens) {
        return projection.forward(mixed(qkv.forward(tokens)));
    }

    /** Returns the attention (B, L, D) of joined queries, keys and values (B, L, 3·D), before the projection. */
    Dual mixed(Dual joined) {
        Dual[] own = split(joined, 3);
        Dual query = normalised(own[0], queryGain);
        Dual key = normalised(own[1], keyGain);
        return join(Dual.attention(query, key, own[2]));
    }

    /** Attends to the tokens and the context's tokens; {@code gate} (B, 1, H, d) multiplies the context's values. */
    Dual forward(Dual tokens, Dual context, Dual gate) {
        if (contextKv == null) {
            throw new IllegalStateException("this attention has no weights for a context");
        }
        Dual[] own = split(qkv.forward(tokens), 3);
        Dual[] other = split(contextKv.forward(context), 2);
        Dual query = normalised(own[0], queryGain);
        Dual key = normalised(own[1], keyGain);
        Dual otherKey = normalised(other[0], contextKeyGain);
        Dual otherValue =
                other[1].mul(gate.permute(0, 2, 1, 3)).to(own[2].primal().dtype());
        Dual mixed = Dual.attention(query, Dual.cat(2, key, otherKey), Dual.cat(2, own[2], otherValue));
        return projection.forward(join(mixed));
    }

    private static Dual normalised(Dual heads, @Nullable Tensor gain) {
        return gain == null ? heads : heads.rmsNorm(gain, EPS);
    }

    /** Splits (B, L, parts · D) into parts of (B, H, L, d). */
    private Dual[] split(Dual joined, int parts) {
        Shape shape = joined.primal().shape();
        Dual[] split = joined.chunk(parts, 2);
        for (int i = 0; i < parts; i++) {
            split[i] = split[i].reshape(shape.size(0), shape.size(1), heads, shape.size(2) / parts / heads)
                    .transpose(1, 2);
        }
        return split;
    }

    /** Reshapes (B, H, L, d) to (B, L, D). */
    private static Dual join(Dual split) {
        Shape shape = split.primal().shape();
        return split.transpose(1, 2).reshape(shape.size(0), shape.size(2), shape.size(1) * shape.size(3));
    }
}
