package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;

/** Embeds a time (B) in [0, 1], not rescaled, as a vector (B, D): sinusoids, then two linear layers. */
public final class TimeEmbedding {
    private final Dual frequencies;
    private final DType type;
    private final Linear first;
    private final Linear second;

    /**
     * A layer over {@code mlp.0} and {@code mlp.2}.
     *
     * @param frequencies of {@link Embeddings#frequencies}, not owned
     * @param weights the layer's own
     */
    public TimeEmbedding(Tensor frequencies, Weights weights) {
        this.frequencies = Dual.constant(frequencies);
        DType given = weights.arena().values().dtype();
        this.type = given == DType.BFLOAT16 ? DType.FLOAT32 : given;
        this.first = weights.linear("mlp.0");
        this.second = weights.linear("mlp.2");
    }

    /** Embeds times (B) as vectors (B, D). */
    public Dual forward(Dual time) {
        // Use float32 also for float64 networks, because the public checkpoints were trained with such rounding. In
        // bfloat16 nearby times would be equal.
        Dual phase = time.to(DType.FLOAT32).unsqueeze(1).mul(frequencies);
        Dual sinusoids = Dual.cat(1, phase.cos(), phase.sin()).to(type);
        return second.exact(first.exact(sinusoids).silu());
    }
}
